import torch

from alarm.compositions import holistic_rewards
from alarm.ppo.released import released_placement


def test_the_shorter_row_loses_its_final_reward():
    # The case documented for the released code: lengths 6 and 4, a final reward of 10 arrives as 10 and 0.
    mask = torch.arange(6) < torch.tensor([[6], [4]])
    rewards = holistic_rewards(torch.tensor([1.0, 1.0]), mask, holistic_weight=10.0)
    released = released_placement(rewards, mask)
    assert released.sum(dim=1).tolist() == [10.0, 0.0]


def test_rows_move_right_by_their_padding_and_short_rows_lose_everything():
    mask = torch.arange(5) < torch.tensor([[5], [3], [2]])
    rewards = torch.where(mask, torch.arange(1.0, 6.0).expand(3, 5), 0.0)
    want = torch.tensor([[1.0, 2, 3, 4, 5], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0]])
    assert torch.equal(released_placement(rewards, mask), want)
