"""Settings of alerts: when something is too much, and what on this machine is watched. As `config.py`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ingest.config import Setting, SettingInvalid, Settings, read_storage

if TYPE_CHECKING:
    from ingest.alert_rules import Thresholds
    from ingest.alerts import Alerting

SILENT_MIN = Setting("alert-silent-min", "alert when nothing has come from a gateway for so long [min]", "45")
GAP_MIN = Setting("alert-gap-min", "alert when a gap in a chain stays open so long [min]", "60")
CLOCK_MS = Setting("alert-clock-ms", "alert when a gateway's clock may be off by more [ms]", "9000")
QUARANTINE_HOUR = Setting(
    "alert-quarantine-hour", "alert when so many messages come into quarantine for one reason in an hour", "20"
)
SETTLEMENT_MIN = Setting("alert-settlement-min", "alert when readings wait so long to be settled [min]", "30")
DISK_PERCENT = Setting("alert-disk-percent", "alert when a watched disk is so full [percent]", "90")
BACKUP_HOURS = Setting(
    "alert-backup-hours", "alert when the newest backup is older [h]; 9999 where others make them", "26"
)
CERTIFICATE_DAYS = Setting("alert-certificate-days", "alert when a watched certificate ends within [days]", "14")
CLEAR_MIN = Setting("alert-clear-min", "a cause must be gone for so long before its alert closes [min]", "10")
WATCH_DISKS = Setting("watch-disks", "folders whose disks are watched, with : between them", "")
WATCH_CERTIFICATES = Setting(
    "watch-certificates", "folder of certificates (PEM) that are watched; a gateway's is named after it: gw-a.crt", ""
)
AUTHORITY_FOLDER = Setting(
    "authority-folder", "folder `centre` of metertree-provision ca: gateways get certificates from it; watched too", ""
)

THRESHOLD_SETTINGS = (
    *(SILENT_MIN, GAP_MIN, CLOCK_MS, QUARANTINE_HOUR, SETTLEMENT_MIN),
    *(DISK_PERCENT, BACKUP_HOURS, CERTIFICATE_DAYS, CLEAR_MIN),
)
ALERT_SETTINGS = (*THRESHOLD_SETTINGS, WATCH_DISKS, WATCH_CERTIFICATES, AUTHORITY_FOLDER)


def read_thresholds(settings: Settings) -> Thresholds:
    """Read when something is too much; raises SettingInvalid."""
    from ingest.alert_rules import Thresholds

    found = {one.name.removeprefix("alert-").replace("-", "_"): settings.count(one) for one in THRESHOLD_SETTINGS}
    if found["disk_percent"] > 100:
        raise SettingInvalid(f"{DISK_PERCENT.flag}: no disk is {found['disk_percent']} % full; give 1 to 100")
    return Thresholds(**found)


def watched_certificates(settings: Settings) -> Path | None:
    """Give the folder of watched certificates, if one was named."""
    folder = settings.text(WATCH_CERTIFICATES)
    return Path(folder) if folder else None


def authority_folder(settings: Settings) -> Path | None:
    """Give the folder of the issuing authority, if one was named."""
    folder = settings.text(AUTHORITY_FOLDER)
    return Path(folder) if folder else None


def read_alerting(settings: Settings) -> Alerting:
    """Read everything a look needs, storage among it; raises SettingInvalid or LayoutRefused."""
    from ingest.alerts import Alerting

    disks = (one for one in settings.text(WATCH_DISKS).split(":") if one)
    return Alerting(
        thresholds=read_thresholds(settings),
        storage=read_storage(settings),
        disks=tuple(Path(one) for one in disks),
        certificates=watched_certificates(settings),
        authority=authority_folder(settings),
    )
