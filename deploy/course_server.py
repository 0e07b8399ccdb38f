"""What the hub starts for a learner, as that learner: bring the course into the folder, then serve JupyterLab.

A file that the learner ran or changed is never overwritten. Arguments go on to jupyterhub-singleuser.
"""

import sys
from pathlib import Path

from icrl_teach.cli.lab import FIRST_LESSON, become, environment
from icrl_teach.course import copy_course

COURSE = "icrl-course"  # in the learner's own folder


def main() -> None:
    """Copy the course, and become the server."""
    home = Path.home()
    copy_course(home / COURSE)
    page = f"--ServerApp.default_url=/lab/tree/{COURSE}/{FIRST_LESSON}"
    command = [sys.executable, "-m", "jupyterhub.singleuser", f"--ServerApp.root_dir={home}", page, *sys.argv[1:]]
    become(command, environment())


if __name__ == "__main__":
    main()
