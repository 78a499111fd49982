"""Translates the refusal of a call into a named D-Bus error."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

from dbus_fast import DBusError

from edge.bus.seat import CallRefused, Problem
from edge.contract.errors import FacelatchError, InputError

Method = TypeVar("Method", bound=Callable[..., Awaitable[Any]])


def refusing(prefix: str, names: Mapping[Problem, str] | None = None) -> Callable[[Method], Method]:
    """Decorates a D-Bus method: a refusal becomes the error `prefix.NAME`, where NAME is the problem's entry in `names`, or its value."""

    def dbus_error(problem: Problem, error: Exception) -> DBusError:
        return DBusError(f"{prefix}.{(names or {}).get(problem, problem.value)}", str(error))

    def decorate(method: Method) -> Method:
        @wraps(method)
        async def wrapper(*arguments: Any) -> Any:
            try:
                return await method(*arguments)
            except CallRefused as error:
                raise dbus_error(error.problem, error) from error
            except InputError as error:
                raise dbus_error(Problem.INVALID, error) from error
            except FacelatchError as error:
                raise dbus_error(Problem.INTERNAL, error) from error

        return wrapper  # type: ignore[return-value] # the same parameters and result, by wraps

    return decorate
