import itertools
import re

from cnnkit.data.imagenet import imagenet_groups, imagenet_names


def test_there_are_a_thousand_short_names_and_all_differ():
    names = imagenet_names()
    assert len(names) == len({name.casefold() for name in names}) == 1000
    for name in names:
        assert re.fullmatch(r"[A-Za-z][A-Za-z' -]*", name), name
        assert len(name) <= 30
        assert len(name.split()) <= 4


def test_names_stand_at_the_index_of_their_class():
    # Spread over the list, where names of neighbours would be wrong; the cranes, which are two.
    wanted = {
        **{0: "tench", 9: "ostrich", 134: "crane", 151: "Chihuahua", 207: "golden retriever"},
        **{281: "tabby cat", 285: "Egyptian cat", 340: "zebra", 404: "airliner", 468: "taxi"},
        **{504: "coffee mug", 517: "construction crane", 579: "grand piano", 638: "swimsuit"},
        **{639: "one-piece swimsuit", 817: "sports car", 889: "violin", 954: "banana"},
        **{963: "pizza", 967: "espresso", 980: "volcano", 999: "toilet paper"},
    }
    assert {index: imagenet_names()[index] for index in wanted} == wanted


def test_every_member_of_a_group_exists_and_is_in_no_other():
    groups = imagenet_groups()
    members = list(itertools.chain(*groups.values()))
    assert set(members) <= set(imagenet_names())
    assert len(members) == len(set(members))
    assert min(map(len, groups.values())) >= 2
    # A class of that name stands in its own group, or the sum would be shown beside it.
    for group in set(groups) & set(imagenet_names()):
        assert group in groups[group]


def test_dogs_and_birds_are_complete():
    # ImageNet's dogs are 118 classes in a row; hen and rooster are birds.
    assert imagenet_groups()["dog"] == imagenet_names()[151:269]
    assert {"hen", "rooster", "king penguin", "ostrich"} <= set(imagenet_groups()["bird"])
