"""Making what is out of date: what is made in which order, and what is said before and after."""

from __future__ import annotations

import time
import uuid
from argparse import Namespace
from collections.abc import Collection, Mapping, Sequence
from contextlib import redirect_stdout, suppress

import dagster as dg

from mtl_pipeline.components.assets.raw_files import observe_changed
from mtl_pipeline.components.context import PipelineContext
from mtl_pipeline.components.refused import refuse_left_out
from mtl_pipeline.definitions import defs
from mtl_pipeline.errors import UserError
from mtl_pipeline.run.account import Account, sentence
from mtl_pipeline.run.out_of_date import Lineage
from mtl_pipeline.run.terminal import Terminal
from mtl_pipeline.summary import print_summary
from mtl_pipeline.workflows.__main__ import declaration, to_run

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
INTERRUPTED = 130
"""Exit code, as of a command that Ctrl-C ended."""
EVALUATED = {"evaluation", "champion", "recommendations"}
"""Assets after which the pipeline's metrics are shown."""


class Make:
    """One call of the command."""

    def __init__(self, options: Namespace, instance: dg.DagsterInstance) -> None:
        self.options, self.instance, self.terminal = options, instance, Terminal()
        self.definitions = defs()
        self.name = options.pipeline
        refuse_left_out(self.definitions, declaration(self.name))
        graph = self.definitions.resolve_asset_graph()
        pipeline = PipelineContext(self.name, *to_run(self.name))
        self.lineage = Lineage(pipeline, graph, instance)
        self.account, self.started = Account(self.name, self.terminal), time.monotonic()

    def run(self) -> int:
        """The exit code."""
        if not self.instance.is_persistent:
            self.terminal.line(
                "DAGSTER_HOME is not set: nothing is remembered, and the UI will show none of this."
            )
        if self.options.assets:
            self.execute([self.key(asset) for asset in self.options.assets])
        else:
            self.bring_up_to_date()
        return self.close()

    def key(self, asset: str) -> dg.AssetKey:
        key, known = self.lineage.pipeline.key(asset), self.lineage.graph.materializable_asset_keys
        if key not in known:
            own = sorted(one for one in known if one.path[0] == self.name)
            raise UserError(f"{self.name} has no asset {asset}; its assets are: {names(own)}")
        return key

    def bring_up_to_date(self) -> None:
        """In two runs: after the first it is known whether what training reads came out as it was, and whether training
        is in vain."""
        observe_changed(self.instance, self.lineage.pipeline)
        early, reasons = self.lineage.before_training, self.lineage.out_of_date()
        planned = self.planned(reasons)
        self.announce(planned, reasons)
        if planned and self.execute([key for key in planned if key in early]):
            late = [key for key in self.planned(self.lineage.out_of_date()) if key not in early]
            if spared := [key for key in planned if key not in early and key not in late]:
                self.terminal.line(f"What they read came out as it was, so not made again: {names(spared)}")
            if not (self.lineage.training & set(late) and self.in_vain()):
                self.execute(late)

    def planned(self, reasons: Collection[dg.AssetKey]) -> list[dg.AssetKey]:
        chosen = self.lineage.with_following(reasons)
        return [key for key in self.lineage.assets if self.options.all or key in chosen]

    def announce(self, planned: Sequence[dg.AssetKey], reasons: Mapping[dg.AssetKey, str]) -> None:
        assets = self.lineage.assets
        if not planned:
            self.terminal.line(
                f"{self.name}: nothing to make. Raw files, SQL and settings are as they were when its {len(assets)} "
                "assets were made. To make them all the same: --all (make run ALL=1)"
            )
            return
        self.terminal.line(f"{self.name}: {len(reasons)} of {len(assets)} assets are out of date")
        for reason in dict.fromkeys(reasons.values()):
            because = [key for key in planned if reasons.get(key) == reason]
            self.terminal.line(f"{names(because)}: {reason}", indent=2, hanging=2)
        if others := [key for key in planned if key not in reasons]:
            why = "asked for" if self.options.all else "follow, where these come out otherwise than before"
            self.terminal.line(f"{names(others)}: {why}", indent=2, hanging=2)
        self.terminal.line()

    def in_vain(self) -> bool:
        """Whether training is, by the checks of what it reads."""
        obstacles = [] if self.options.anyway else self.lineage.obstacles()
        for found in obstacles:
            if found.asset_check_key not in self.account.told:
                self.account.tell_check(found)
            self.account.failures.append(f"training would be in vain, as {sentence(found)}")
        if obstacles:
            self.account.failures.append("To train all the same: --anyway (make run ANYWAY=1)")
        return bool(obstacles)

    def execute(self, keys: Sequence[dg.AssetKey]) -> bool:
        """Make these assets in one run. Returns whether all of it succeeded."""
        if not keys:
            return True
        job, run_id = self.definitions.resolve_implicit_global_asset_job_def(), str(uuid.uuid4())
        self.instance.add_event_listener(run_id, self.account.hear)
        config = self.options.config_json | ({} if self.options.verbose else QUIET)
        result = job.execute_in_process(
            run_id=run_id,
            instance=self.instance,
            asset_selection=keys,
            run_config=config,
            raise_on_error=False,
        )
        self.terminal.write("")  # over the last progress
        return result.success

    def close(self) -> int:
        """Metrics, then what to keep in mind, then how it ended; returns the exit code."""
        account, say = self.account, self.terminal.line
        ended_well = not (account.failures or account.interrupted)
        if ended_well and EVALUATED & set(account.made):
            with suppress(BrokenPipeError), redirect_stdout(self.terminal.stream):
                print_summary(self.lineage.pipeline.paths)
        cautions = account.cautions + [sentence(found) for found in self.lineage.warnings()]
        cautions = [one for one in cautions if not any(failure.endswith(one) for failure in account.failures)]
        if cautions and not account.interrupted:
            say(f"\nWarnings: {len(cautions)}")
            for caution in cautions:
                say(f"- {caution}", hanging=2)
        if account.failures:
            say(f"\n{self.name} is not finished:")
            for failure in account.failures:
                say(f"- {failure}", hanging=2)
            say("What was made is kept. Mend this and run the same again: it goes on from there.")
        elif account.interrupted:
            say(f"\n{self.name}: stopped. What was made is kept; run the same again: it goes on from there.")
        elif account.made:
            taken = time.monotonic() - self.started
            plural = "s" * (len(account.made) != 1)
            say(f"\n{self.name}: made {len(account.made)} asset{plural} in {taken:.0f} s")
        return INTERRUPTED if account.interrupted else int(not ended_well)


def names(keys: Sequence[dg.AssetKey]) -> str:
    return ", ".join(key.path[-1] for key in keys)
