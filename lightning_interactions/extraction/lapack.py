"""SciPy's BLAS and LAPACK without Python's lock.

SciPy publishes its routines as pointers for compiled code (``scipy.linalg.cython_lapack``). Called through them, unlike
through ``scipy.linalg.lapack``, they leave other Python threads running.
"""

from __future__ import annotations

import ctypes
import re
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from scipy.linalg import cython_blas, cython_lapack

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["addresses", "by_address", "has_routines", "number", "routine"]

_SIGNATURES = {
    "potrf": "void (char *, int *, {} *, int *, int *)",
    "trsv": "void (char *, char *, char *, int *, {} *, int *, {} *, int *)",
    "trsm": "void (char *, char *, char *, char *, int *, int *, {} *, {} *, int *, {} *, int *)",
    "syrk": "void (char *, char *, int *, int *, {} *, {} *, int *, {} *, {} *, int *)",
    "gemm": "void (char *, char *, int *, int *, int *, {} *, {} *, int *, {} *, int *, {} *, {} *, int *)",
}
"""The routines used, as SciPy describes them where its integers have 32 bits; ``{}`` is the type of the numbers."""

_LETTERS = {torch.float64: "d", torch.float32: "s"}
"""How the names of the routines say the type of the numbers."""

_NUMBERS = {torch.float64: ctypes.c_double, torch.float32: ctypes.c_float}


def has_routines(dtype: torch.dtype) -> bool:
    """Whether SciPy publishes what is needed for numbers of this type."""
    return dtype in _LETTERS and all(routine(name, dtype) is not None for name in _SIGNATURES)


def by_address(value: bytes | int) -> Any:
    """An argument as Fortran takes it."""
    return ctypes.byref(ctypes.c_char(value) if isinstance(value, bytes) else ctypes.c_int(value))


def number(value: float, dtype: torch.dtype) -> Any:
    """A factor as Fortran takes it beside matrices of this type."""
    return ctypes.byref(_NUMBERS[dtype](value))


def addresses(tensor: Tensor) -> list[int]:
    """Where the parts of a contiguous tensor begin, one for every index of its first dimension."""
    start, step = tensor.data_ptr(), tensor.stride(0) * tensor.element_size()
    return [start + index * step for index in range(len(tensor))]


@cache
def routine(name: str, dtype: torch.dtype) -> Any:
    """The routine, which takes addresses, or None where SciPy does not publish it with the arguments expected."""
    letter, expected = _LETTERS[dtype], _SIGNATURES[name]
    module = cython_lapack if name == "potrf" else cython_blas
    capsule = module.__pyx_capi__.get(letter + name)
    if capsule is None:
        return None
    published = _capsule_name(capsule)
    if re.sub(r"__pyx_t_\w+_([ds])\b", r"\1", published.decode()) != expected.replace("{}", letter):
        return None
    function = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * expected.count("*"))
    return function(_capsule_pointer(capsule, published))


_capsule_name = ctypes.pythonapi.PyCapsule_GetName
_capsule_name.restype, _capsule_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
_capsule_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_capsule_pointer.restype, _capsule_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
