"""The profiles a program knows, found by model or by content.

Published revisions stay in the catalogue for ever: a reading signed by an old one must decode years later.
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


class Catalogue:
    """Profiles by id (newest revision) and by hash (any revision)."""

    def __init__(self, profiles: tuple[Profile, ...]) -> None:
        ascending = sorted(profiles, key=lambda profile: profile.rev)
        self._by_id = {profile.id: profile for profile in ascending}
        self._by_hash = {profile.hash: profile for profile in ascending}

    @classmethod
    def shipped(cls) -> Catalogue:
        """Give the profiles that come with this distribution."""
        return _shipped()

    @classmethod
    def load(cls, *dirs: Path) -> Catalogue:
        """Give the shipped profiles and those of every `*.toml` below `dirs`; raises DocumentError with all faults."""
        paths = [path for each in (SHIPPED_DIR, *dirs) for path in sorted(each.rglob("*.toml"))]
        profiles: list[Profile] = []
        faults: list[Fault] = []
        revisions: dict[tuple[str, int], tuple[Profile, Path]] = {}
        for path in paths:
            try:
                profile = read_profile(path)
            except DocumentError as error:
                faults.extend(error.faults)
                continue
            earlier, earlier_path = revisions.setdefault((profile.id, profile.rev), (profile, path))
            if earlier != profile:
                problem = f"{profile.id} rev {profile.rev} stands with other content in {earlier_path}"
                faults.append(Fault(path=str(path), line=1, problem=problem, mend="raise rev with each change"))
            profiles.append(profile)
        if faults:
            raise DocumentError(tuple(faults))
        return cls(tuple(profiles))

    @property
    def profiles(self) -> tuple[Profile, ...]:
        """The newest revision of each model, by id."""
        return tuple(self._by_id[profile_id] for profile_id in sorted(self._by_id))

    def by_id(self, profile_id: str) -> Profile:
        """Find the newest revision of a model (`eastron/sdm630`); raises ProfileUnknown."""
        if profile_id not in self._by_id:
            raise ProfileUnknown(f"no profile {profile_id!r}; known: {', '.join(sorted(self._by_id))}")
        return self._by_id[profile_id]

    def by_hash(self, profile_hash: bytes) -> Profile:
        """Find the profile a reading names; raises ProfileUnknown."""
        if profile_hash not in self._by_hash:
            raise ProfileUnknown(f"no profile with hash {profile_hash.hex()}")
        return self._by_hash[profile_hash]


@cache
def _shipped() -> Catalogue:
    return Catalogue.load()
