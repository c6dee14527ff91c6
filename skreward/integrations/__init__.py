"""Rewards in the places where they are called."""

from skreward.integrations.rewardbench import RewardBenchResult, run_rewardbench
from skreward.integrations.trl import TRLReward

__all__ = ["RewardBenchResult", "TRLReward", "run_rewardbench"]
