"""The words of the pages about sites: flows, balance, map; in both languages."""

from __future__ import annotations

from collections.abc import Mapping

from ingest.console.words import Language

_WORDS: dict[str, tuple[str, str]] = {
    "sites": ("园区", "Sites"),
    "sites-note": (
        "每个园区最近一期的电量与损耗，以及要处理的事项。",
        "Energy and losses of each site's newest period, and what needs somebody.",
    ),
    "sites-none": ("还没有园区", "There is no site yet"),
    "sites-none-mend": (
        "写好园区文件后导入：metertree site import 目录。examples/park 是一个可以照抄的例子。",
        "Write a site's files and bring them in: metertree site import DIR. examples/park is one to copy.",
    ),
    "meters": ("表计", "Meters"),
    "nodes": ("节点", "Nodes"),
    "units": ("单元", "Units"),
    "period": ("账期", "Period"),
    "show": ("查看", "Show"),
    "main-energy": ("总表净电量", "Main meters, net"),
    "loss": ("首层损耗", "Loss below the main meters"),
    "outside": ("超出误差带的节点", "Nodes outside their band"),
    "outside-note": ("误差带由表计精度算出", "the band follows from the meters' accuracy"),
    "inexact": ("非正常实测的刻数", "Slots not plainly measured"),
    "inexact-note": ("估算、缺失、翻转、换表", "estimated, missing, rolled over, exchanged"),
    "flows": ("电量流向", "Where the energy goes"),
    "flows-note": (
        "宽度为电量；向下弯出的一股是损耗：灰色在误差带内，红色超出。点节点名可进入该支路，点电量看曲线。",
        "Width is energy. What bends down is lost: grey within the band, red outside it. A node's name leads into its "
        "branch, its figure to its curve.",
    ),
    "more": ("另外 {count} 个", "{count} more"),
    "whole-tree": ("整棵树", "Whole tree"),
    "balance": ("收支表", "Balance"),
    "node": ("节点", "Node"),
    "id": ("编号", "Id"),
    "kind": ("类别", "Kind"),
    "kind-main": ("总表", "main"),
    "kind-branch": ("支路", "branch"),
    "kind-end": ("末端", "end"),
    "kind-generation": ("发电", "generation"),
    "net": ("净电量 kWh", "Net kWh"),
    "children": ("下级合计 kWh", "Children kWh"),
    "loss-kwh": ("损耗 kWh", "Loss kWh"),
    "loss-share": ("损耗率", "Loss"),
    "band": ("误差带 ± kWh", "Band ± kWh"),
    "verdict": ("判定", "Verdict"),
    "within": ("在误差带内", "within"),
    "out-of-band": ("超出误差带", "outside"),
    "loses": ("{name} 损耗 {loss} kWh（{share}）", "{name} loses {loss} kWh ({share})"),
    "gains": (
        "{name} 的下级比它自己多 {loss} kWh：查漏装、错接、倍率",
        "What lies below {name} has {loss} kWh more than itself: look for wrong wiring, ratio or place",
    ),
    "map": ("表计位置", "Where the meters hang"),
    "map-note": (
        "按安装时记录的坐标就地绘制，不连接任何地图服务。",
        "Drawn from the coordinates that were taken at installation; no map service is asked.",
    ),
    "map-tiles-note": (
        "底图来自本服务配置的地图服务器。",
        "The ground is a picture of the map server this service is set to.",
    ),
    "map-none": ("表计还没有坐标", "No meter has coordinates yet"),
    "map-none-mend": (
        "安装页绑定表计时记录位置，或在园区文件的表计下写 place。",
        "Take the place when binding a meter on the gateway's page, or write `place` in the site's files.",
    ),
    "place-lat": ("纬度", "Latitude"),
    "place-lon": ("经度", "Longitude"),
    "place-note": ("位置说明", "Place"),
    "serial": ("表号", "Serial"),
    "meter": ("表计", "Meter"),
    "model": ("型号", "Model"),
    "no-run": ("还没有核算过任何账期", "No period has been computed yet"),
    "no-run-mend": (
        "在“核算”页结算一个账期后，这里显示电量流向与损耗。表计曲线现在就能看。",
        "Close a period on the page Runs; then this shows flows and losses. The meters' curves are there already.",
    ),
    "curves": ("表计曲线", "Curves"),
    "run": ("核算", "Run"),
    "waits": ("{count} 项待办", "{count} to be done"),
    "site": ("园区", "Site"),
    "state": ("状态", "State"),
    "north": ("北", "N"),
}


def site_words(language: Language) -> Mapping[str, str]:
    """Give all words in one language."""
    place = 0 if language is Language.ZH else 1
    return {name: pair[place] for name, pair in _WORDS.items()}
