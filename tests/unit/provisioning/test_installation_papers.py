"""`metertree-provision import`, `report`, `label`: what an engineer types and reads, without a network."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path
from typing import Any

import pypdfium2
import pytest
import zxingcpp

from provisioning.cli import main
from provisioning.enrolment import Claim
from provisioning.installation_events import open_events
from provisioning.keys import FileSigner, fingerprint, write_public_key
from provisioning.label import ROWS_MAX, label_of, label_svg
from provisioning.package import write_package
from provisioning.paper.fonts import FontMissing, chinese_font
from provisioning.paper.qr import qr_squares
from provisioning.report import prove
from tests.doubles.surveyed_park import CENTRE, GATEWAY_SEED, surveyed

PARK = Path(__file__).parents[3] / "examples" / "park"
GATEWAY = FileSigner.from_seed(GATEWAY_SEED)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: object, **kinds: object) -> None:
        raise AssertionError("a command that works offline asked the network")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    evidence, photos, _ = surveyed()
    files = {}
    for digest, octets in photos.items():
        files[digest] = tmp_path / digest.hex()
        files[digest].write_bytes(octets)
    path = tmp_path / "gw-a.metertree-package"
    with path.open("wb") as stream:
        write_package(stream, order=evidence.order, bundle=None, events=evidence.events, photos=files)
    write_public_key(tmp_path / "gateway.pub", GATEWAY.verifier())
    return path


@pytest.fixture
def seed_file(tmp_path: Path) -> Path:
    path = tmp_path / "signing.key"
    path.touch(mode=0o600)
    path.write_text(GATEWAY_SEED.hex() + "\n", encoding="ascii")
    return path


def run(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    code = main([str(each) for each in args])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def answer(capsys: pytest.CaptureFixture[str], *args: object) -> dict[str, Any]:
    code, out, err = run(capsys, *args, "--json")
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def needs_a_font() -> None:
    try:
        chinese_font()
    except FontMissing:
        pytest.skip("no Chinese font here: scripts/install_fonts.sh fetches one")


def test_a_report_is_made_from_a_package_and_verified(
    capsys: pytest.CaptureFixture[str], package: Path, seed_file: Path, tmp_path: Path
) -> None:
    key, page = tmp_path / "gateway.pub", tmp_path / "report.html"
    made = answer(capsys, "report", package, "--gateway-key", key, "--html", page, "--key", seed_file, "--lang", "zh")
    assert (made["meters"], made["is_sealed"]) == (8, True)
    assert "安装调试报告" in page.read_text(encoding="utf-8")
    code, out, _ = run(capsys, "report", "verify", page)
    assert code == 0
    assert "8 meters, 9 acts, 1 wrong" in out
    assert f"the gateway's key {fingerprint(GATEWAY.public_key)}" in out
    assert "compare the centre's fingerprint" in out
    write_public_key(tmp_path / "anchor.pub", CENTRE.verifier())
    found = answer(capsys, "report", "verify", page, "--anchor", tmp_path / "anchor.pub")
    assert (found["is_anchored"], found["sealed_by"]) == (True, "gateway")


def test_a_changed_report_is_refused(
    capsys: pytest.CaptureFixture[str], package: Path, seed_file: Path, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    answer(capsys, "report", package, "--gateway-key", tmp_path / "gateway.pub", "--html", page, "--key", seed_file)
    page.write_bytes(page.read_bytes().replace(b"20417.80", b"10417.80", 1))
    code, out, err = run(capsys, "report", "verify", page)
    assert (code, out) == (1, "")
    assert "changed after it was sealed" in err


def test_a_report_without_key_says_that_nobody_will_believe_it(
    capsys: pytest.CaptureFixture[str], package: Path, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    code, out, _ = run(capsys, "report", package, "--gateway-key", tmp_path / "gateway.pub", "--html", page)
    assert code == 0
    assert "not signed" in out
    code, _, err = run(capsys, "report", "verify", page)
    assert code == 1
    assert "--key" in err


def test_a_paper_is_made_and_verified(
    capsys: pytest.CaptureFixture[str], package: Path, seed_file: Path, tmp_path: Path
) -> None:
    needs_a_font()
    paper = tmp_path / "report.pdf"
    answer(capsys, "report", package, "--gateway-key", tmp_path / "gateway.pub", "--pdf", paper, "--key", seed_file)
    assert answer(capsys, "report", "verify", paper)["kind"] == "pdf"


@pytest.mark.parametrize(
    ("args", "mend"),
    [
        (["report", "{package}", "--html", "{tmp}/a.html"], "--gateway-key FILE"),
        (["report", "{package}"], "--html FILE"),
        (["report", "verify", "{tmp}/none"], "cannot be read"),
        (["report", "verify", "{package}"], "no report of ours"),
        (["report", "a", "b"], "give one package"),
        (["report", "{tmp}/gateway.pub", "--html", "{tmp}/a.html"], "not a package"),
        (["label", "{package}"], "--svg FILE"),
        (["label", "{package}", "--gateway-key", "{tmp}/gateway.pub", "--svg", "{tmp}/no/a.svg"], "cannot be written"),
        (
            ["label", "{package}", "--gateway-key", "{tmp}/gateway.pub", "--pdf", "{tmp}/a.pdf", "--fonts", "{tmp}"],
            "install_fonts",
        ),
    ],
)
def test_what_is_missing_is_told_with_its_mend(
    capsys: pytest.CaptureFixture[str], package: Path, tmp_path: Path, args: list[str], mend: str
) -> None:
    code, out, err = run(capsys, *(each.format(package=package, tmp=tmp_path) for each in args))
    assert (code, out) == (1, "")
    assert mend in err


def test_the_label_scans_to_the_gateways_page_with_its_fingerprint(
    capsys: pytest.CaptureFixture[str], package: Path, tmp_path: Path
) -> None:
    needs_a_font()
    paper, drawing = tmp_path / "label.pdf", tmp_path / "label.svg"
    made = answer(capsys, "label", package, "--gateway-key", tmp_path / "gateway.pub", "--pdf", paper, "--svg", drawing)
    digits = fingerprint(GATEWAY.public_key).replace(" ", "")
    assert made["link"] == f"https://centre.example/fleet/gw-a#1.{digits}"
    page = pypdfium2.PdfDocument(paper)[0]
    assert [round(side * 25.4 / 72) for side in page.get_size()] == [100, 70]
    picture = page.render(scale=3, grayscale=True).to_numpy().squeeze()
    assert [code.text for code in zxingcpp.read_barcodes(picture)] == [made["link"]]
    picture[190:260, 90:160] = 128  # torn off: an eighth of the code
    assert [code.text for code in zxingcpp.read_barcodes(picture)] == [made["link"]]
    assert "WS3410024117" in drawing.read_text(encoding="utf-8")


def test_a_label_says_how_many_meters_have_no_room() -> None:
    label = label_of(prove(surveyed()[0]))
    few = label_svg(label)
    assert "more, see the report" not in few
    many = tuple((number, f"点{number}", f"S{number:04d}") for number in range(1, ROWS_MAX + 4))
    text = label_svg(type(label)(**{name: getattr(label, name) for name in label.__slots__} | {"meters": many}))
    assert "另 4 块" in text
    assert "S0013" in text
    assert "S0014" not in text


def test_a_code_has_its_finders_where_the_standard_wants_them() -> None:
    squares = qr_squares("METERTREE")
    finder = squares[0][:7], squares[0][-7:], squares[-1][:7]
    assert finder == ((True,) * 7,) * 3
    assert len(squares) == len(squares[0])


def test_nothing_secret_leaves_by_label_or_report(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, seed_file: Path
) -> None:
    evidence, _, _ = surveyed()
    claim = Claim.fresh()
    from provisioning.enrolment import Survey, seal_bundle

    events = open_events(evidence.events, GATEWAY.verifier(), previous=prove(evidence).order.voucher.digest)
    survey = Survey(prove(evidence).order.voucher.digest, None, evidence.events)
    bundle = seal_bundle(
        events[0].gateway, epoch=1, claim=claim, public_key=GATEWAY.public_key, signer=GATEWAY, survey=survey
    )
    path = tmp_path / "p"
    with path.open("wb") as stream:
        write_package(stream, order=evidence.order, bundle=bundle, events=evidence.events, photos={})
    page, drawing = tmp_path / "a.html", tmp_path / "a.svg"
    _, out, err = run(capsys, "report", path, "--html", page, "--key", seed_file)
    run(capsys, "label", path, "--svg", drawing)
    for text in (out, err, page.read_text(encoding="utf-8"), drawing.read_text(encoding="utf-8")):
        assert claim.text not in text
        assert GATEWAY_SEED.hex() not in text


@pytest.fixture
def site_dir(tmp_path: Path) -> Path:
    directory = tmp_path / "park"
    shutil.copytree(PARK, directory)
    path = directory / "site.toml"
    node = '\n[[nodes]]\nid = "u-b302"\nkind = "end"\nparent = "bldg-b"\nnames = "B302"\naccuracy_class = "1"\n'
    path.write_text(path.read_text(encoding="utf-8") + node, encoding="utf-8")
    return directory


LIST = "序列号,型号,规约,端口,通信地址,计量点,CT,PT\nNEW-1,SDM630,Modbus TCP,tcp-b,33,B302,1,1\n"


def test_a_list_is_told_then_decided_then_written(
    capsys: pytest.CaptureFixture[str], site_dir: Path, tmp_path: Path
) -> None:
    path = tmp_path / "list.csv"
    path.write_text(LIST, encoding="utf-8")
    before = (site_dir / "gateways.toml").read_bytes()
    code, out, _ = run(capsys, "import", path, "--site-dir", site_dir, "--write", "--lang", "zh")
    assert code == 1
    assert "存疑" in out
    assert "--model 'SDM630=eastron/sdm630'" in out
    assert "未写入任何内容" in out
    assert (site_dir / "gateways.toml").read_bytes() == before
    model = ["--model", "SDM630=eastron/sdm630"]
    code, out, _ = run(capsys, "import", path, "--site-dir", site_dir, *model)
    assert (code, "add --write" in out) == (0, True)
    assert (site_dir / "gateways.toml").read_bytes() == before
    found = answer(capsys, "import", path, "--site-dir", site_dir, *model, "--write")
    assert (found["new"], found["end"]) == (1, "written")
    assert b'serial = "NEW-1"' in (site_dir / "gateways.toml").read_bytes()
    again = answer(capsys, "import", path, "--site-dir", site_dir, *model, "--write")
    assert (again["new"], again["known"], again["end"]) == (0, 1, "nothing")


def test_one_doubtful_row_keeps_the_good_ones_from_being_written(
    capsys: pytest.CaptureFixture[str], site_dir: Path, tmp_path: Path
) -> None:
    path = tmp_path / "list.csv"
    path.write_text(LIST.replace("SDM630", "eastron/sdm630") + "NEW-2,,,,,,,\n", encoding="utf-8")
    before = (site_dir / "gateways.toml").read_bytes()
    code, out, _ = run(capsys, "import", path, "--site-dir", site_dir, "--write")
    assert code == 1
    assert "1 new meters" in out
    assert (site_dir / "gateways.toml").read_bytes() == before


def test_a_list_gives_what_an_order_expects(capsys: pytest.CaptureFixture[str], site_dir: Path, tmp_path: Path) -> None:
    path, plan = tmp_path / "list.csv", tmp_path / "plan.json"
    path.write_text("序列号,计量点\nNEW-1,B302\n", encoding="utf-8")
    answer(capsys, "import", path, "--site-dir", site_dir, "--expected", plan)
    assert json.loads(plan.read_text(encoding="utf-8")) == [{"meter": "m-u-b302", "node": "u-b302", "serial": "NEW-1"}]


@pytest.mark.parametrize("option", ["--column=表号", "--column=表号=nothing", "--model=x"])
def test_an_option_that_is_not_clear_is_told(
    capsys: pytest.CaptureFixture[str], site_dir: Path, tmp_path: Path, option: str
) -> None:
    path = tmp_path / "list.csv"
    path.write_text(LIST, encoding="utf-8")
    code, _, err = run(capsys, "import", path, "--site-dir", site_dir, option)
    assert code == 1
    assert "write --" in err
