"""What scripts/compare-gemm compares, for the table."""

from common.table import Subject
from gemm import catalogue
from gemm.problem import Problem

SUBJECT = Subject(
    script="compare-gemm",
    title="GEMM beside its peers",
    problem=Problem,
    section="format",
    row="K×N",
    marks="c: weights from memory, rotated over copies on both sides; otherwise hot.",
    peers=catalogue.PEERS,
    lacking=catalogue.lacking,
)
