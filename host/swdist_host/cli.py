"""The command `swdist`: what an operator types. Each group of commands has a module of its own."""

import sys
from importlib.util import find_spec

import click

from swdist import VERSION
from swdist_host import (
    commands_keys,
    commands_mesh,
    commands_release,
    commands_sim,
    commands_time,
    links,
    terminal,
)
from swdist_host.errors import BadValue, Refused

_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


# What only a router's own command of that name can do.
_ROUTERS = frozenset(("check", "clock", "inject", "log", "metrics", "releases"))


class _Commands(click.Group):
    def resolve_command(self, ctx, args):
        if args and args[0] in _ROUTERS:
            raise click.UsageError(
                f"{args[0]} is a command of the router's swdist: ssh root@ROUTER swdist {args[0]}",
                ctx,
            )
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings=_SETTINGS, no_args_is_help=True)
@click.version_option(VERSION, "--version", prog_name="swdist", message="%(prog)s %(version)s")
def cli():
    """Software for a mesh of equal routers: make a release, sign it, hand it to any neighbour,
    and watch the mesh switch to it.

    \b
    A first release, from nothing:
      swdist keygen alice
      swdist network init ca --name freimesh --key alice.pub --threshold 1
      swdist release build -o 1.1.0.swd --ca ca --version 1.1.0 --start +24h --payload tree/
      swdist release sign 1.1.0.swd --key alice.sec
      swdist seed 1.1.0.swd --ca ca --interface wlan0
      swdist watch --ca ca --interface wlan0
    """


cli.add_command(commands_keys.keygen)
cli.add_command(commands_keys.network)
cli.add_command(commands_release.release)
cli.add_command(commands_time.time)
_simulator = commands_sim.COMMANDS if find_spec("swdist_host.sim") else ()  # not in the one file
for command in (*commands_mesh.COMMANDS, *_simulator):
    cli.add_command(command)


def main(argv=None):
    """Runs the command and ends the process: 0 done, 1 refused, 2 typed wrongly."""
    terminal.harden()
    sys.exit(run(argv))


def run(argv=None):
    """The exit status. Whatever is wrong is one line on stderr."""
    try:
        return cli.main(argv, prog_name="swdist", standalone_mode=False) or 0
    except click.exceptions.NoArgsIsHelpError as e:
        click.echo(e.format_message())
        return 2
    except click.UsageError as e:
        command = e.ctx.command_path if e.ctx else "swdist"
        return _fail(f"{_typed(e)} See: {command} --help", 2)
    except BadValue as e:
        return _fail(e, 2)
    except (Refused, click.ClickException) as e:
        return _fail(e.format_message() if isinstance(e, click.ClickException) else e, 1)
    except (click.Abort, KeyboardInterrupt):
        return _fail("stopped; nothing was changed by what was not finished", 130)
    except (RecursionError, MemoryError):
        return _fail("a file is nested too deeply, or too large, for what it should be", 1)
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except OSError as e:
        return _fail(f"{e.filename or 'the system'}: {e.strerror or e}", 1)


def _typed(e):
    """What is wrong with what was typed, and what to do."""
    parameter = getattr(e, "param", None)
    if not isinstance(e, click.MissingParameter) or parameter.name != "interfaces":
        return e.format_message().replace("is not a valid integer range", "is no whole number")
    router = ""
    if e.ctx.command.name == "status":
        router = " The status of a router itself: ssh root@ROUTER swdist status."
    return f"{e.format_message().rstrip('.')}; there are: {links.told()}.{router}"


def _fail(why, status):
    click.echo(terminal.plain("swdist: " + " ".join(str(why).split())), err=True)
    return status
