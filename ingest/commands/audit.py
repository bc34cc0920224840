"""`metertree audit`: who did what; whether the log of it is whole; what leaves the house so that it stays so."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.commands import Subparsers
from ingest.config import CENTRE_KEY, DSN, Settings, add_settings

if TYPE_CHECKING:
    from ingest.audit_desk import AuditDesk, Verified
    from ingest.store.database import Database
    from metering.envelope import Verifier

WORDS = {
    "en": {
        "held": "{entries} entries hold, the newest is {digest}; {checkpoints} signed checkpoints fit",
        "rows": "{held} rows of the books were held against them; {older} are older than the log",
        "unsigned": "checkpoints were not looked at: give --centre-public-key",
        "faults": "{faults} faults: the log or the books are not what they were",
        "signed": "signed for the log up to its newest entry",
        "empty": "the log is empty: there is nothing to sign for",
        "exported": "{path}: {entries} entries; whoever has it verifies it with: metertree audit verify --file {path}",
        "none": "nothing in the log fits that",
    },
    "zh": {
        "held": "{entries} 条记录完好，最新一条 {digest}；{checkpoints} 个签名检查点相符",
        "rows": "已与账册中 {held} 行核对；其中 {older} 行早于日志",
        "unsigned": "未核对检查点：请给出 --centre-public-key",
        "faults": "{faults} 处不符：日志或账册已被改动",
        "signed": "已为日志签名，直到最新一条",
        "empty": "日志为空，无可签名",
        "exported": "{path}：{entries} 条记录；任何人可用 metertree audit verify --file {path} 验证",
        "none": "日志中没有符合条件的记录",
    },
}


def register(subparsers: Subparsers) -> None:
    """Add the command with its verbs."""
    parser = subparsers.add_parser(
        "audit",
        help="show, verify, sign for and export the log of who did what",
        description="Every act that changes the books stands in the log with who, when, where, before and after, each "
        "entry hashed with the one before. A checkpoint signed by the centre that is kept elsewhere finds a log that "
        "was written anew.",
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    verify = verbs.add_parser("verify", help="hold log, checkpoints and books against each other; 1 if they do not fit")
    verify.add_argument("--file", type=Path, help="verify an exported log instead of a database")
    verify.add_argument("--checkpoint", type=Path, action="append", default=[], help="one kept elsewhere; repeat")
    verify.add_argument("--centre-public-key", type=Path, help="centre.pub; without it the one beside --centre-key")
    verify.set_defaults(run=_verify)
    show = verbs.add_parser("show", help="show the newest acts")
    show.add_argument("--subject", action="append", help="of gateway/gw-a, site/park, run/ID, binding/ID ...; repeat")
    show.add_argument("--who", help="only what this operator did")
    show.add_argument("--verb", help="only acts of this kind, e.g. run-approved")
    show.add_argument("--most", type=int, default=50, help="how many at most (default 50)")
    show.set_defaults(run=_show)
    export = verbs.add_parser("export", help="write the whole log into a file, for an auditor")
    export.add_argument("out", type=Path, metavar="FILE")
    export.set_defaults(run=_export)
    checkpoint = verbs.add_parser("checkpoint", help="sign for the log as it is now (the jobs do so every hour)")
    checkpoint.add_argument("--out", type=Path, help="write it into this file too, to be kept elsewhere")
    checkpoint.set_defaults(run=_checkpoint)
    for verb in verbs.choices.values():
        verb.add_argument("--json", action="store_true", help="print one JSON document")
        verb.add_argument("--lang", choices=tuple(WORDS), default="en", help="language of what is shown (default en)")
        add_settings(verb, DSN, CENTRE_KEY)


def _verify(args: argparse.Namespace) -> int:
    from ingest.audit_desk import Verified, read_export, verify_entries

    verifier = _verifier(args)
    kept = {str(path): path.read_bytes() for path in args.checkpoint}
    if args.file is None:
        with _database(args) as database:
            return _tell(args, _desk(database).verify(verifier, kept), verifier)
    with args.file.open(encoding="utf-8") as lines:
        found = verify_entries(read_export(lines, str(args.file)), verifier, kept)
    return _tell(args, Verified(found.count, found.last, found.checkpoints, None, found.faults), verifier)


def _tell(args: argparse.Namespace, found: Verified, verifier: Verifier | None) -> int:
    words = WORDS[args.lang]
    if args.json:
        rows = None if found.rows is None else {"held": found.rows.held, "older": found.rows.older}
        document = {
            "entries": found.entries,
            "digest": found.digest.hex(),
            "checkpoints": found.checkpoints,
            "rows": rows,
            "faults": list(found.faults),
        }
        print(json.dumps(document, ensure_ascii=False, indent=1))
        return 1 if found.faults else 0
    for fault in found.faults:
        print(fault)
    if found.faults:
        print(words["faults"].format(faults=len(found.faults)))
        return 1
    print(words["held"].format(entries=found.entries, digest=found.digest.hex()[:16], checkpoints=found.checkpoints))
    if found.rows is not None:
        print(words["rows"].format(held=found.rows.held, older=found.rows.older))
    if verifier is None:
        print(words["unsigned"])
    return 0


def _show(args: argparse.Namespace) -> int:
    from ingest.audit_desk import entry_document
    from ingest.audit_words import entry_lines
    from ingest.console.words import Language
    from ingest.store.audit import touching

    with _database(args) as database, database.transaction() as connection:
        found = touching(connection, args.subject, who=args.who, verb=args.verb, most=args.most)
    if args.json:
        documents = [{**entry_document(one), "content": one.told or None} for one in found]
        print(json.dumps(documents, ensure_ascii=False, indent=1))
        return 0
    for one in found:
        print("\n".join(entry_lines(one, Language(args.lang))))
    if not found:
        print(WORDS[args.lang]["none"])
    return 0


def _export(args: argparse.Namespace) -> int:
    entries = 0
    with _database(args) as database, args.out.open("x", encoding="utf-8") as file:
        for line in _desk(database).export():
            file.write(line + "\n")
            entries += 1
    print(WORDS[args.lang]["exported"].format(path=args.out, entries=entries))
    return 0


def _checkpoint(args: argparse.Namespace) -> int:
    from metering.clock import SystemClock
    from provisioning.keys import FileSigner

    words = WORDS[args.lang]
    signer = FileSigner.read(Path(Settings(args).text(CENTRE_KEY)))
    with _database(args) as database:
        octets = _desk(database).sign(signer, SystemClock().now())
    if octets is None:
        print(words["empty"])
        return 1
    if args.out is not None:
        args.out.write_bytes(octets)
    print(words["signed"])
    return 0


def _verifier(args: argparse.Namespace) -> Verifier | None:
    """Give the centre's public key: the one that is named, else that of its private key where that is at hand."""
    from provisioning.keys import FileSigner, read_public_key

    if args.centre_public_key is not None:
        return read_public_key(args.centre_public_key)
    key = Settings(args).optional(CENTRE_KEY)
    return None if key is None else FileSigner.read(Path(key)).verifier()


def _desk(database: Database) -> AuditDesk:
    from ingest.audit_desk import AuditDesk

    return AuditDesk(database)


def _database(args: argparse.Namespace) -> Database:
    from ingest.store.database import Database

    return Database(Settings(args).text(DSN), connections=1)
