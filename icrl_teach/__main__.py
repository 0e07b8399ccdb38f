"""`python -m icrl_teach`: the same as the command `icrl-teach`."""

from icrl_teach.cli import main

if __name__ == "__main__":
    main(prog_name="icrl-teach")
