"""The program of one training process: `python -m components.training.worker JOB_FILE DESCRIPTOR`.

It trains the job in the file, and sends log records and its outcome over the pipe with that file
descriptor. It exits when its standard input is closed, because its launcher is gone then.
"""

from __future__ import annotations

import logging
import os
import pathlib
import sys
import threading
import traceback

from components.training.job import TrainingJob
from components.training.train_job import log_result, train_job
from components.training.worker_messages import MessageSender
from models import errors
from models.settings import from_json


def main() -> None:
    """Trains the job and exits with 0, with 75 if it was preempted, or with 1 after an error."""
    threading.Thread(target=_exit_with_launcher, daemon=True).start()
    sender = MessageSender(int(sys.argv[2]))
    logging.getLogger("polyseme").addHandler(sender)
    logging.getLogger("polyseme").setLevel(logging.INFO)
    try:
        trained = train_job(from_json(TrainingJob, pathlib.Path(sys.argv[1]).read_bytes()))
        log_result(trained.result)
        sender.done()
    except errors.PolysemeError as error:
        sender.failed(error)
        sys.exit(75 if isinstance(error, errors.Preempted) else 1)
    except Exception as error:
        traceback.print_exc()
        sender.failed(error)
        sys.exit(1)


def _exit_with_launcher() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
