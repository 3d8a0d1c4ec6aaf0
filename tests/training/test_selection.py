from greenpose.training.fit import Best, EpochSelection


def test_an_exit_takes_the_last_epoch_that_ties_or_beats_its_best():
    selection = EpochSelection()
    assert selection.update(1, {2: 0.5, 3: 0.5}) == [2, 3]
    assert selection.update(2, {2: 0.5, 3: 0.4}) == [2]
    assert selection.update(3, {2: 0.4, 3: 0.6}) == [3]
    assert selection.best == {2: Best(epoch=2, ap=0.5), 3: Best(epoch=3, ap=0.6)}


def test_the_official_rule_takes_all_exits_along_whenever_one_is_better():
    selection = EpochSelection(rule="any-exit")
    selection.update(1, {2: 0.5, 3: 0.5})
    assert selection.update(2, {2: 0.1, 3: 0.5}) == [2, 3]
    assert selection.best == {2: Best(epoch=2, ap=0.5), 3: Best(epoch=2, ap=0.5)}
    assert selection.update(3, {2: 0.4, 3: 0.4}) == []


def test_waiting_counts_validations_without_any_improvement():
    selection = EpochSelection()
    for epoch, ap in enumerate([0.1, 0.2, 0.1, 0.1, 0.3, 0.2], start=1):
        selection.update(epoch, {4: ap})
    assert selection.waiting == 1
    again = EpochSelection()
    again.restore(selection.state())
    assert again == selection
