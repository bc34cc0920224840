"""The words of a report, Chinese and English."""

from __future__ import annotations

from provisioning.site import Names

_WORDS: dict[str, tuple[str, str]] = {
    "title": ("安装调试报告", "Commissioning report"),
    "summary": ("概要", "Summary"),
    "bound": ("已绑定表计", "meters bound"),
    "missing": ("未安装", "missing"),
    "proven": ("显示与总线一致", "displays agree"),
    "wrong": ("错误", "wrong"),
    "doubtful": ("存疑", "doubtful"),
    "accepted": ("已说明理由", "with a reason"),
    "site": ("园区", "Site"),
    "owner": ("业主", "Owner"),
    "gateway": ("网关", "Gateway"),
    "epoch": ("纪元", "epoch"),
    "order": ("安装单", "Install order"),
    "installed": ("安装日期", "Installed"),
    "engineer": ("安装人员", "Engineer"),
    "device": ("所用设备", "Device"),
    "made": ("报告时间", "Report made"),
    "standing": ("入网状态", "Standing"),
    "granted": ("中心已准入 {at}", "admitted by the centre {at}"),
    "not-granted": ("待中心准入；计量已开始", "waits for the centre; measuring has begun"),
    "pending": (
        "绑定须经第二人批准后方计费；此前相关账单为暂定。",
        "A binding counts for money once a second person has approved it; until then lines are provisional.",
    ),
    "tree": ("计量树", "Metering tree"),
    "tree-caption": (
        "实线框：本次绑定；虚线框：计划有表但未安装；灰色：本网关以外",
        "solid: bound here; dashed: expected and missing; grey: not of this gateway",
    ),
    "map": ("位置草图", "Map sketch"),
    "map-caption": ("上北；WGS-84；编号同下表", "north is up; WGS-84; numbers as in the table below"),
    "map-none": ("未记录坐标。", "No coordinates were recorded."),
    "meters": ("表计", "Meters"),
    "number": ("号", "No."),
    "node": ("计量点", "Node"),
    "unit": ("单元", "Unit"),
    "serial": ("表号", "Serial"),
    "model": ("型号", "Model"),
    "bus": ("端口 / 地址", "Port / address"),
    "ratio": ("CT × PT", "CT × PT"),
    "display": ("显示", "Display"),
    "bus-value": ("总线", "Bus"),
    "verdict": ("核对", "Check"),
    "seal": ("封印", "Seal"),
    "place": ("位置", "Place"),
    "read-serial": ("表内序列号", "Serial by bus"),
    "not-read": ("表计不提供", "the meter does not tell it"),
    "bound-at": ("绑定时间", "Bound at"),
    "replaces": ("替换", "Replaces"),
    "planned": ("计划表号", "Planned serial"),
    "register": ("数据项", "Register"),
    "at": ("时间", "At"),
    "reason": ("理由", "reason"),
    "no-comparison": ("未核对", "not compared"),
    "state-good": ("合格", "good"),
    "state-doubtful": ("存疑", "doubtful"),
    "state-wrong": ("有误", "wrong"),
    "state-reasoned": ("有说明", "with a reason"),
    "common": ("公共", "shared"),
    "checks": ("整体检查", "Checks of the whole"),
    "checks-none": (
        "计量树、表号、单元、位置与计划无矛盾。",
        "Tree, serials, units, places and plan do not contradict one another.",
    ),
    "missing-title": ("计划中有、现场未安装", "Expected and not installed"),
    "none-missing": ("计划中的表计已全部安装。", "Every expected meter is installed."),
    "unfitting-title": ("与园区资料不符的操作", "Acts that the site does not allow"),
    "acts": ("操作记录", "Acts"),
    "act": ("操作", "Act"),
    "who": ("人员", "Who"),
    "digest": ("摘要", "Digest"),
    "signatures": ("签名", "Signatures"),
    "gateway-key": ("网关签名密钥指纹", "Gateway key fingerprint"),
    "centre-key": ("中心密钥指纹", "Centre key fingerprint"),
    "bundle": ("注册包摘要", "Bundle digest"),
    "verify": (
        "每项操作均由网关签名并前后相连，随本文件携带。核验（无需网络）：metertree-provision report verify 文件。"
        "请将网关指纹与箱体标签比对。",
        "Each act is signed by the gateway, names the one before, and travels in this file. To verify, without a "
        "network: metertree-provision report verify FILE. Compare the gateway's fingerprint with the cabinet's label.",
    ),
    "sign-installed": ("安装人", "Installed by"),
    "sign-checked": ("批准人（另一人）", "Approved by (another person)"),
    "photo-meter": ("表计", "meter"),
    "photo-seal": ("封印", "seal"),
    "photo-cabinet": ("箱体", "cabinet"),
    "photo-display": ("显示", "display"),
    "photo-absent": ("照片不在本文件中", "the picture is not in this file"),
    "act-bind": ("绑定 {meter} 于 {node}", "bound {meter} at {node}"),
    "act-exchange": ("换表 {old} → {meter}", "exchanged {old} for {meter}"),
    "act-reparent": ("{node} 改接至 {parent}", "{node} moved below {parent}"),
    "act-ratio-change": ("{meter} 变比改为 {ct}×{pt}", "ratio of {meter} changed to {ct} × {pt}"),
    "act-decommission": ("拆除 {meter}", "took {meter} away"),
    "act-replace": ("替换纪元 {epoch} 的网关：{reason}", "took the place of epoch {epoch}: {reason}"),
    "act-port-change": ("端口 {port} 按现场修改", "port {port} as found at the site"),
}


def word(key: str, language: str, **parts: object) -> str:
    """Give a word; a missing one is our own mistake."""
    return _WORDS[key][0 if language == "zh" else 1].format(**parts)


def both(key: str) -> Names:
    """Give a word in both languages."""
    return Names(*_WORDS[key])
