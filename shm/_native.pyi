"""The native types are used like their twins, so they are those to a type checker."""

from penstock.shm.board import BoardWriter as BoardWriter
from penstock.shm.cell import Cell as Cell
from penstock.shm.cell import GaugeCell as GaugeCell
from penstock.shm.meter import Meter as Meter
from penstock.shm.ring import RingWriter as RingWriter

SHAPE: tuple[int, int, int]
