"""Decide who keeps a plugin's name or a job's key that two claim; nothing here acts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from rapua_scheduler.plugin_loader.plugins import FoundPlugin, KnownProviders, Provider


def lost_names(found: Sequence[FoundPlugin], known: KnownProviders) -> Mapping[FoundPlugin, str]:
    """Return the plugins that must go because another has the same name, each with the reason.

    The package that is known to have the name keeps it; if none of them is, no one gets it.
    """
    lost = {}
    for name, claimants in _by_claim((plugin.name, plugin) for plugin in found).items():
        holders = [plugin for plugin in claimants if plugin.provider.distribution == known.plugins.get(name)]
        if len(claimants) > 1:
            packages = " and ".join(plugin.package for plugin in claimants)
            for plugin in claimants:
                if holders != [plugin]:
                    lost[plugin] = (
                        f"the plugin name {name!r} is used by both {packages}; {_who_had_it(holders)}; "
                        "uninstall one of them"
                    )
    return lost


def lost_keys(
    declared: Mapping[FoundPlugin, Sequence[str]], known: KnownProviders, broken: Collection[Provider]
) -> Mapping[FoundPlugin, str]:
    """Return the plugins that must go because of a job's key, each with the reason.

    The package that is known to have the key keeps it, even while its plugin is broken: a job that
    changed hands meanwhile would go on from the other's last fire time. If none of those that declare
    the key is known to have it, no one gets it.

    Args:
        declared: The keys that each plugin declares.
        known: Who had which key.
        broken: Providers that are installed, and could not be loaded.
    """
    claims = _by_claim((key, plugin) for plugin, keys in declared.items() for key in keys)
    lost: dict[FoundPlugin, str] = {}
    for key, claimants in claims.items():
        holder = known.jobs.get(key)
        holders = [plugin for plugin in claimants if holder and plugin.provider.distribution == holder.distribution]
        if len(holders) == 1:
            newcomers = {plugin: _contest(key, claimants, holders) for plugin in claimants if plugin not in holders}
            lost = newcomers | lost
        elif holder is not None and holder in broken and not holders:
            reason = (
                f"the job {key!r} belongs to {holder.plugin!r} ({holder.distribution}), which could not be loaded; "
                "repair, deny or uninstall that one"
            )
            lost = dict.fromkeys(claimants, reason) | lost
    undecided: dict[FoundPlugin, str] = {}
    for key, claimants in claims.items():
        left = [plugin for plugin in claimants if plugin not in lost]
        if len(left) > 1:
            undecided = dict.fromkeys(left, _contest(key, left, [])) | undecided
    return lost | undecided


def _by_claim(claims: Iterable[tuple[str, FoundPlugin]]) -> Mapping[str, list[FoundPlugin]]:
    claimants: dict[str, list[FoundPlugin]] = {}
    for claim, plugin in claims:
        claimants.setdefault(claim, []).append(plugin)
    return claimants


def _contest(key: str, claimants: Sequence[FoundPlugin], holders: Sequence[FoundPlugin]) -> str:
    return (
        f"the job {key!r} is declared by both {' and '.join(map(str, claimants))}; {_who_had_it(holders)}; "
        "deny or uninstall one of them"
    )


def _who_had_it(holders: Sequence[FoundPlugin]) -> str:
    return f"{holders[0].distribution} had it first" if len(holders) == 1 else "neither is known to have had it first"
