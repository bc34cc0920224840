// What the pages say, in English and in Chinese.

const LINKS = {
  en: {
    bundle: "File", "statement key": "Signing key", statement: "Statement signature", evidence: "Sealed readings",
    "gateway signature": "Gateway signature", profile: "Meter profile", reading: "Register", line: "Line", pool: "Cost",
    commitment: "Fingerprint of the run", total: "Total", publication: "Publication", page: "This page",
  },
  zh: {
    bundle: "文件", "statement key": "签名密钥", statement: "确认单签名", evidence: "证据封包", "gateway signature": "网关签名",
    profile: "电表规约", reading: "读数", line: "明细行", pool: "费用池", commitment: "批次指纹", total: "合计", publication: "发布", page: "本页",
  },
};

const REASONS = {
  "it was changed after signing, or signed by someone else": "签名后被改动，或由他人签名",
  "it is not a statement file": "这不是确认单文件",
  "it is not a statement file of a format that is known here": "不是本程序认识的确认单文件格式",
  "the file is larger than any statement": "文件过大，不会是确认单",
  "a statement of a format that is not known here": "不认识的确认单格式",
  "a publication of a format that is not known here": "不认识的发布格式",
  "an envelope of a format that is not known": "不认识的封包格式",
  "not base64": "编码（base64）有误",
  "not hexadecimal digits": "不是十六进制数字",
  "text that is not UTF-8": "文字编码不是 UTF-8",
  "a number that does not fit its octets": "数字超出范围",
  "CBOR of an indefinite length, or with a float": "编码（CBOR）含不定长或浮点数",
  "CBOR that ends too early": "编码（CBOR）不完整",
  "CBOR that is nested too deep": "编码（CBOR）嵌套过深",
  "CBOR whose keys are not in order, each once": "编码（CBOR）的键未按序排列或重复",
  "CBOR whose number is not in its shortest form": "编码（CBOR）的数字不是最短形式",
  "CBOR with a value of no known kind": "编码（CBOR）含未知的值",
  "CBOR with an unknown tag": "编码（CBOR）含未知标签",
  "CBOR with octets left over": "编码（CBOR）之后有多余内容",
  "not a COSE_Sign1": "不是签名文件（COSE_Sign1）",
  "not the parts of a COSE_Sign1": "签名文件（COSE_Sign1）的组成有误",
  "a header with other entries than algorithm and key id": "签名头部含多余内容",
  "a key id of 1 to 32 octets is missing": "缺少密钥编号",
  "an algorithm that is not in use here": "未采用的签名算法",
  "a public key has 32 octets (Ed25519) or 65 (P-256)": "公钥应为 32 字节（Ed25519）或 65 字节（P-256）",
  "it names another algorithm than its key has": "签名算法与密钥不符",
  "it is signed with a key that the statement does not name for its gateway": "签名密钥不是确认单为该网关列出的密钥",
  "it names another gateway, epoch or number than the statement": "网关、纪元或序号与确认单不符",
  "it speaks of another run": "它说的是另一批核算",
  "not an envelope": "不是封包",
  "another number of readings than was signed": "读数个数与签名时不同",
  "the readings are not those that were signed": "读数不是签名时的读数",
  "a reading is not one of those that were signed": "读数不在签名的读数之中",
  "a reading by a profile that its head does not name": "读数所用规约未在封包头部列出",
  "a reading rests on evidence that the statement does not name": "读数所依据的封包确认单没有列出",
  "the envelope holds no measured register of this meter at this time": "封包中没有该表此刻的实测表码",
  "its profile has no such group": "规约中没有该通道组",
  "registers beside a failed reading": "失败的读数却带有表码",
  "not as many registers as its profile has": "表码个数与规约不符",
  "a register beyond what the meter can show": "表码超出该表的显示范围",
  "a register finer than its base unit": "表码比基本单位更细",
  "a canonical profile holds no vectors, disputes or commissioning": "规约的规范形式含多余内容",
  "a note that is none": "抄表记录有误",
  "a line without a trace": "明细行没有计算过程",
  "a line is opened with no pieces, or not with as many depths": "证明中明细行的分片有误",
  "pools are missing": "缺少费用池",
  "a period that ends before it begins": "账期的结束早于开始",
  "a run of slots names no band": "时段没有对应的价格",
  "a span that is not in the period": "时间段不在账期内",
  "no price, or two, for a part of the time": "部分时间没有价格，或有两个价格",
  "not one loss for each band": "线损没有逐段列出",
  "not one price more than there are limits": "阶梯价格与限额个数不符",
  "tiers of a price that is not stated": "阶梯所属的价格没有列出",
  "no register at both ends": "两端缺少表码",
  "two meters are said to hang there at one time": "同一时间写有两块表",
  "an exchange of meters that nobody declared": "有未登记的换表",
  "two readings of one instant that differ": "同一时刻有两个不同的表码",
  "a register that fell": "表码变小",
  "more than the meter's place can draw": "超出该处可能的用量",
  "not as many lines and pools are opened as are stated": "证明中的明细行和费用池与确认单不符",
  "the pools of the statement are not those of its lines, each once": "确认单列出的费用池与明细行不符",
  "the pools of this statement are not those the run committed to": "确认单的费用池不是该批核算所固定的",
  "a leaf stands twice": "同一分片出现两次",
  "a leaf stands above another": "证明树中一片压在另一片之上",
  "a leaf stands deeper than a place has bits": "证明树过深",
  "a branch is left over": "证明树有多余的枝",
  "a branch is missing": "证明树缺枝",
  "a sum is too large": "合计过大",
  "all shares together are not its cost": "各户分摊合计不等于总额",
  "its lines speak of different last odd units": "各行所说的零头归属不同",
  "somebody takes out what others pay in": "有人抵扣了他人所付",
  "your lines, the sums of the others and what is said of the pool do not lead to its signed root":
    "您的明细行、他人合计与费用池说明得不出签名的指纹",
};

const PAGE = {
  en: {
    checking: "Checking the statement in this browser ...",
    holds: "Everything holds", broken: "This statement does not hold",
    holdsFinal: "Every figure was recomputed and every signature fits. The statement is final.",
    holdsProvisional: "Every figure was recomputed and every signature fits. Provisional: the run was not published when this file was made.",
    brokeAt: "The chain breaks here:", seeWhere: "See which link broke",
    count: (count) => `${count} checks`,
    means: (means) => `Checked in this browser with ${means}. Nothing was sent anywhere.`,
    recomputed: "recomputed in this browser", differs: "cannot be confirmed in this browser",
    lines: "Lines, recomputed", line: "Line", amount: "Statement", anew: "Recomputed", checks: "Links of the chain",
    unfetched: "The statement file could not be fetched. What you see on this page was not checked; try again, or check the file by hand.",
    again: "Try again", ok: "holds", no: "broken", link: "Link", result: "Found",
    more: (count) => `${count} lines hold`,
    start: "Play the calculation", pause: "Pause", step: "Next step", back: "Start again", of: (at, count) => `Step ${at} of ${count}`,
    whole: "Show all steps",
    title: "Check a statement", lead: "Offline, on this device. The file is not sent anywhere.",
    drop: "Drop the statement file here", choose: "or choose it", another: "Check another file",
    key: "Public key of the centre", keyNote: "Hexadecimal digits or PEM, from a source you trust. Several: one a line.",
    keyHeld: "This page came with the key below. Compare its fingerprint with the one your landlord publishes.",
    keyNone: "No key is built into this page. Paste the public key of the centre first.",
    keyWrong: "That is no public key: give 64 or 130 hexadecimal digits, or PEM.",
    fingerprint: "Fingerprint", tooLarge: "This file is too large to be a statement.",
    period: "Period", party: "Party", total: "Total", standing: "Standing", final: "final", provisional: "provisional", number: "Number",
    root: "Fingerprint of the run",
    rootNote: "Each statement of this run has this fingerprint. Compare it with a neighbour's or with the public posting.",
    language: "中文", how: "What is checked",
    howSteps: [
      "The centre signed this statement, and not one digit was changed since.",
      "Each register was signed by the gateway at the meter when it was read.",
      "Each line is recomputed from these registers, prices and weights.",
      "All shares of each common cost add up to that cost, without showing anyone else's.",
    ],
  },
  zh: {
    checking: "正在本浏览器中核对确认单……",
    holds: "全部成立", broken: "本确认单不成立",
    holdsFinal: "每个数字都已重算，每个签名都吻合。本确认单为终稿。",
    holdsProvisional: "每个数字都已重算，每个签名都吻合。暂定：生成本文件时该批核算尚未发布。",
    brokeAt: "断开的环节：", seeWhere: "查看断开的环节",
    count: (count) => `${count} 项核对`,
    means: (means) => `在本浏览器中核对（${means.replace("Ed25519 by own code", "Ed25519 用自带代码").replace("own code", "自带代码")}），没有发送任何内容。`,
    recomputed: "本浏览器重算", differs: "本浏览器无法确认",
    lines: "逐行重算", line: "明细行", amount: "确认单金额", anew: "重算金额", checks: "逐项核对",
    unfetched: "取不到确认单文件，本页内容未经核对。请重试，或用文件自行核对。",
    again: "重试", ok: "成立", no: "断开", link: "环节", result: "结果",
    more: (count) => `${count} 行成立`,
    start: "演示计算过程", pause: "暂停", step: "下一步", back: "从头开始", of: (at, count) => `第 ${at} 步，共 ${count} 步`,
    whole: "显示全部步骤",
    title: "核对确认单", lead: "离线核对，就在这台设备上。文件不会发送到任何地方。",
    drop: "把确认单文件拖到这里", choose: "或选择文件", another: "核对另一个文件",
    key: "中心的公钥", keyNote: "十六进制或 PEM，请从可信来源获得。多个公钥每行一个。",
    keyHeld: "本页自带以下公钥。请与物业公布的指纹比对。",
    keyNone: "本页没有自带公钥，请先粘贴中心的公钥。",
    keyWrong: "这不是公钥：请给出 64 或 130 个十六进制数字，或 PEM。",
    fingerprint: "指纹", tooLarge: "文件过大，不会是确认单。",
    period: "账期", party: "户", total: "合计", standing: "状态", final: "终稿", provisional: "暂定", number: "编号",
    root: "批次指纹",
    rootNote: "同一批核算的每份确认单都有这个指纹。可与邻户或公示比对。",
    language: "English", how: "核对什么",
    howSteps: [
      "确认单由中心签名，签名后一个数字也没有改动。",
      "每个表码在读取时即由表旁的网关签名。",
      "每一行都由这些表码、价格和权重重新计算。",
      "每项公摊各户合计正好等于总额，且不显示他人的金额。",
    ],
  },
};

export const pageWords = (language) => PAGE[language] ?? PAGE.zh;

/** A reason in Chinese; as it is where nobody translated it. */
export const inChinese = (reason) => REASONS[reason] ?? reason;

/** The name of a link in a language: `line own-use/a101/t-01` as `Line Own use, a101`. `statement`: where it could be read. */
export function linkName(link, language, statement) {
  const names = LINKS[language] ?? LINKS.zh;
  const kind = Object.keys(names).filter((one) => link === one || link.startsWith(`${one} `)).sort((one, other) => other.length - one.length)[0];
  if (kind === undefined) return link;
  const rest = link.slice(kind.length).trim();
  const shown = kind === "pool" || kind === "line" ? lineName(rest, language, statement) : rest;
  return `${names[kind]} ${shown}`.trim();
}

/** A line or a pool by the name of its pool: `own-use/a101/t-01` as `Own use, a101`. */
export function lineName(id, language, statement) {
  const [pool, unit] = id.split("/");
  const name = statement?.pools.find((one) => one.id === pool)?.names.get(language) ?? pool;
  if (unit === undefined) return name;
  const isResidual = statement?.lines.find((one) => one.id === id)?.kind === "residual";
  if (unit === "residual" && !isResidual) return name;
  return `${name}${language === "zh" ? " · " : ", "}${isResidual ? { zh: "剩余", en: "residual" }[language] : unit}`;
}
