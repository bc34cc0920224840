"""What the desk says when it does not do what it was asked: why, and what to do, in Chinese and English."""

from __future__ import annotations

from edge_agent.installation.view import DeskRefused

_WORDS: dict[str, tuple[str, str]] = {
    "no-order": (
        "尚无安装单：请先导入安装单文件",
        "there is no install order here yet: take the order file first (install begin)",
    ),
    "order-already": (
        "本机已导入安装单 {order}；如需更换，请先备份并移走 {home}",
        "this machine has install order {order} already; to begin anew, move {home} away first",
    ),
    "unconfirmed": (
        "安装单由指纹 {fingerprint} 的密钥签发，本机无锚定密钥：请与后台核对指纹后确认",
        "the order is signed by the key {fingerprint}, and this machine has no anchor: compare it with the back "
        "office and confirm it",
    ),
    "wrong-fingerprint": (
        "指纹不符：安装单为 {fingerprint}，您确认的是 {confirmed}；请勿继续，联系后台",
        "the fingerprints differ: the order has {fingerprint}, you confirmed {confirmed}; call the back office",
    ),
    "no-name": (
        "请说明操作人：--by 姓名",
        "say who does it: --by NAME",
    ),
    "no-claim": (
        "缺少领取码：请输入安装单上的领取码",
        "the claim is missing: type the claim that came with the install order",
    ),
    "unknown-port": (
        "没有端口 {port}；本网关的端口：{ports}",
        "there is no port {port}; this gateway has {ports}",
    ),
    "unscannable-port": (
        "端口 {port} 上没有可扫描的线路",
        "port {port} has no line that could be scanned",
    ),
    "unknown-node": (
        "园区模型中没有计量点 {node}；最接近的：{near}",
        "the site has no node {node}; nearest: {near}",
    ),
    "unknown-unit": ("园区模型中没有单元 {unit}；最接近的：{near}", "the site has no unit {unit}; nearest: {near}"),
    "unit-elsewhere": (
        "单元 {unit} 的计量点是 {meant}，不是 {node}：请改绑到 {meant}，或选择实际供电的单元",
        "unit {unit} is metered at {meant}, not at {node}: bind to {meant}, or name the unit that this meter feeds",
    ),
    "unknown-found": (
        "扫描结果中没有 {found}；已找到：{known}",
        "the scan found no {found}; it found {known}",
    ),
    "found-twice": (
        "{found} 对应多块表：请用 端口/地址 指明（{known}）",
        "{found} names several meters: name one by PORT/ADDRESS ({known})",
    ),
    "model-unclear": (
        "{found} 的型号不能确定（{candidates}）：请用 --profile 指明",
        "the model of {found} is not clear ({candidates}): say it with --profile",
    ),
    "incomplete": (
        "绑定缺少 {missing}：请先扫描并选择一块表，或全部手工填写",
        "the binding lacks {missing}: scan and choose a meter, or give all of it",
    ),
    "no-ratio": (
        "计量点 {node} 的电流互感器变比未知：请输入 --ct（直接接入为 1）",
        "the CT ratio at {node} is not known: give --ct (1 for a meter connected directly)",
    ),
    "ratio-primary": (
        "{profile} 的读数已是一次侧，不得再乘变比：请去掉 --ct 和 --pt",
        "{profile} counts the primary side already: leave --ct and --pt out",
    ),
    "no-serial": (
        "此表不能通过总线报表号：请抄录铭牌上的表号",
        "this meter cannot tell its serial number: type the one on its plate",
    ),
    "node-taken": (
        "计量点 {node} 已有表 {meter}：先撤销该绑定，或做换表",
        "node {node} has meter {meter} already: unbind that one, or exchange it",
    ),
    "address-taken": (
        "端口 {port} 上的地址 {address} 已绑定给 {meter}（{node}）",
        "address {address} on port {port} is bound already, as {meter} at {node}",
    ),
    "serial-taken": (
        "表号 {serial} 已绑定给 {meter}（{node}）：请再核对两块表的铭牌",
        "serial number {serial} is bound already, as {meter} at {node}: look at both plates again",
    ),
    "unknown-meter": (
        "没有绑定过表 {meter}；已绑定：{known}",
        "no meter {meter} is bound; bound are {known}",
    ),
    "unknown-draft": (
        "没有待签名的 {key}；待签名：{known}",
        "nothing named {key} waits for the seal; what waits: {known}",
    ),
    "signed-already": (
        "表 {meter} 的绑定已签名；请重新绑定以更正，或用换表、拆表",
        "the binding of {meter} is signed already: bind it anew to correct it, or exchange or decommission it",
    ),
    "not-signed": (
        "表 {meter} 的绑定尚未签名：直接重新绑定即可",
        "the binding of {meter} is not signed yet: simply bind it anew",
    ),
    "event-too-large": (
        "{subject} 的记录超过 {octets} 字节：请减少核对项或照片",
        "the record of {subject} has more than {octets} octets: leave out comparisons or photos",
    ),
    "bundle-too-large": (
        "注册包超过 {octets} 字节：请先封存一部分表，其余随后绑定并再次封存",
        "the bundle has more than {octets} octets: seal a part of the meters first, bind and seal the others then",
    ),
    "open-findings": (
        "还有 {count} 处错误未处理（{first}）：请改正，或写明理由后接受",
        "{count} findings are wrong and open ({first}): mend them, or accept them with a reason",
    ),
    "unknown-finding": (
        "没有关于 {subject} 的 {finding}",
        "there is no finding {finding} about {subject}",
    ),
    "no-reason": ("请写明接受的理由", "say why you go on in spite of it"),
    "nothing-bound": (
        "没有可签名的内容：请先绑定至少一块表",
        "there is nothing to sign: bind a meter first",
    ),
    "not-sealed": (
        "尚未签名封存：请先执行 seal",
        "nothing is sealed yet: seal the installation first",
    ),
    "sealed-already": (
        "安装已封存，不能再做这一步",
        "the installation is sealed: this can not be done any more",
    ),
    "clock-unset": (
        "本机时钟显示 {now}，显然未校时：请先校时（date -s 或 NTP），再签名",
        "the clock of this machine shows {now}, so it was never set: set it first (date -s, or NTP)",
    ),
    "meter-silent": (
        "表 {meter} 未应答（{problem}）：请检查接线、地址与波特率后重试",
        "meter {meter} does not answer ({problem}): check its wiring, address and speed, then try again",
    ),
    "no-register": (
        "表 {meter} 没有 {obis}；有：{known}",
        "meter {meter} has no {obis}; it has {known}",
    ),
    "display-unreadable": (
        "读不懂“{typed}”：请按显示屏原样输入数字",
        "{typed!r} cannot be read: type the digits as the display shows them",
    ),
    "site-invalid": (
        "与园区模型不符：{problem}",
        "this does not fit the site: {problem}",
    ),
    "grant-foreign": (
        "准入书不属于本机的注册包：请取本网关的准入书（{gateway}）",
        "the grant is not the answer to this gateway's bundle: bring the one for {gateway}",
    ),
    "journal-damaged": (
        "安装记录 {path} 无法读取：{problem}；请保留该文件并联系后台",
        "the journal {path} cannot be read: {problem}; keep the file and call the back office",
    ),
    "photo-kind": (
        "照片种类 {kind} 不存在；可选：{known}",
        "there are no photos of kind {kind}; there are {known}",
    ),
}


def refused(code: str, **parts: object) -> DeskRefused:
    """Make the refusal `code` with its parts filled in; a missing one is an error."""
    zh, en = _WORDS[code]
    return DeskRefused(code, zh.format(**parts), en.format(**parts))


def codes() -> tuple[str, ...]:
    """List what can be refused."""
    return tuple(_WORDS)
