"""The trainings of a run, each with its checkpoints in the run's folder."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from backhand.storage.checkpoints import Checkpoints, Saved

if TYPE_CHECKING:
    from backhand.runs.folder import Run


class TrainingCheckpoints(Checkpoints):
    """Checkpoints that hold what the run has logged of the training, too, and log it again where it goes on.

    `Run.checkpoints` makes them.
    """

    def __init__(self, run: "Run", name: str) -> None:
        config = {"training": name, "data_sha256": run.receipt.get("data_sha256"), **run.receipt["config"]}
        self.place = f"checkpoints/{name}"
        super().__init__(run.path(self.place), config)
        self.run, self.begun = run, len(run.lines)
        self.receipt = run.trained(name)

    def save(self, *args: Any, **options: Any) -> None:
        """Write one; FolderError where the run's folder can't take it."""
        with self.run.writing(self.place):
            super().save(*args, **options)

    def close(self) -> None:
        """Wait for what is being written; FolderError where the run's folder can't take it."""
        with self.run.writing(self.place):
            super().close()

    def done(self, receipt: Mapping[str, Any]) -> None:
        """Say how the training ended; of its checkpoints the last is enough from here on."""
        super().done(receipt)
        self.prune(1)

    def restore(self) -> Saved | None:
        """The newest whole checkpoint; what was logged until then is logged again."""
        saved = super().restore()
        for line in saved.beside if saved else []:
            self.run.log_line(line)
        return saved

    def refuse(self, whose: str) -> NoReturn:
        """Raise RefusedError that says whose the checkpoints are."""
        from backhand.runs.folder import RefusedError

        raise RefusedError(f"the checkpoints in {self.folder} are of {whose}; begin anew")

    def beside(self) -> Any:
        """The lines that were logged since the training began."""
        return self.run.lines[self.begun :]
