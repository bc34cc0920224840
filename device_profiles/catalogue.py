"""The profiles a program knows, found by model or by content.

Published revisions stay in the catalogue for ever: a reading signed by an old one must decode years later. A shipped
file is read when its model is first asked for, since a gateway needs a handful of a hundred and may be a small machine;
it stands at maker/model.toml, an older revision at maker/model.rN.toml. The files of a site are read at once.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from device_profiles.profile import Profile
from device_profiles.profile_file import read_profile
from metering.errors import DocumentError, Fault, MeteringError

SHIPPED_DIR = Path(__file__).parent / "meters"


class ProfileUnknown(MeteringError):
    """No profile of this id or hash is in the catalogue."""


class ShippedFiles:
    """Profile files by model, each read once, when it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.paths: dict[str, list[Path]] = {}
        for path in sorted(folder.rglob("*.toml")):
            model = path.relative_to(folder).with_name(path.name.split(".")[0])
            self.paths.setdefault(model.as_posix(), []).append(path)
        self._read: dict[str, tuple[Profile, ...]] = {}

    def revisions(self, profile_id: str) -> tuple[Profile, ...]:
        """Give every revision of a model; none when it is not shipped. Raises DocumentError."""
        if profile_id not in self._read:
            self._read[profile_id] = tuple(read_profile(path) for path in self.paths.get(profile_id, ()))
        return self._read[profile_id]


class Catalogue:
    """Profiles by id (newest revision) and by hash (any revision): a site's own, and the shipped ones."""

    def __init__(self, own: tuple[Profile, ...], shipped: ShippedFiles) -> None:
        self._own = own
        self._shipped = shipped
        self._by_hash = {profile.hash: profile for profile in own}

    @classmethod
    def shipped(cls) -> Catalogue:
        """Give the profiles that come with this distribution."""
        return _shipped()

    @classmethod
    def load(cls, *dirs: Path) -> Catalogue:
        """Give the shipped profiles and those of every `*.toml` below `dirs`; raises DocumentError with all faults."""
        shipped = _shipped_files()
        faults = [
            Fault(path=str(each), line=1, problem="no folder of profiles", mend="name one that exists")
            for each in dirs
            if not each.is_dir()
        ]
        own: dict[tuple[str, int], Profile] = {}
        for path in (path for each in dirs for path in sorted(each.rglob("*.toml"))):
            try:
                profile = read_profile(path)
                published = {earlier.rev: earlier for earlier in shipped.revisions(profile.id)}
            except DocumentError as error:
                faults.extend(error.faults)
                continue
            earlier = own.setdefault((profile.id, profile.rev), published.get(profile.rev, profile))
            if earlier != profile:
                problem = f"{profile.id} rev {profile.rev} stands with other content in another file"
                faults.append(Fault(path=str(path), line=1, problem=problem, mend="raise rev with each change"))
        if faults:
            raise DocumentError(tuple(faults))
        return cls(tuple(own.values()), shipped)

    @property
    def profiles(self) -> tuple[Profile, ...]:
        """The newest revision of each model, by id."""
        return tuple(self.by_id(profile_id) for profile_id in self._ids())

    def by_id(self, profile_id: str) -> Profile:
        """Find the newest revision of a model (`eastron/sdm630`); raises ProfileUnknown."""
        revisions = [*self._shipped.revisions(profile_id), *(each for each in self._own if each.id == profile_id)]
        if not revisions:
            raise ProfileUnknown(f"no profile {profile_id!r}; known: {', '.join(self._ids())}")
        return max(revisions, key=lambda profile: profile.rev)

    def by_hash(self, profile_hash: bytes) -> Profile:
        """Find the profile a reading names; raises ProfileUnknown."""
        if profile_hash not in self._by_hash:
            shipped = (profile for each in self._shipped.paths for profile in self._shipped.revisions(each))
            self._by_hash.update({profile.hash: profile for profile in shipped})
        if profile_hash not in self._by_hash:
            raise ProfileUnknown(f"no profile with hash {profile_hash.hex()}")
        return self._by_hash[profile_hash]

    def _ids(self) -> list[str]:
        return sorted({*self._shipped.paths, *(profile.id for profile in self._own)})


@cache
def _shipped_files() -> ShippedFiles:
    return ShippedFiles(SHIPPED_DIR)


@cache
def _shipped() -> Catalogue:
    return Catalogue((), _shipped_files())
