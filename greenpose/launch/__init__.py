"""Runs of a grid on other machines: a block of them to a node, under Slurm."""

from greenpose.launch.array import Array
from greenpose.launch.block import Block, blocks_of, write_scripts

__all__ = ["Array", "Block", "blocks_of", "write_scripts"]
