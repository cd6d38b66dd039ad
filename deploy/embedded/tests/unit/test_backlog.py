from kappi_contracts.topics import TOPICS
from kappi_embedded.backlog import consumer_groups


def test_every_consumer_of_the_registry_is_counted_once() -> None:
    groups = consumer_groups()
    counted = sorted((name, group.partition("-")[0]) for group, names in groups.items() for name in names)
    registered = sorted(
        (topic.name, consumer) for topic in TOPICS for consumer in topic.consumers if consumer != "gateway"
    )
    assert counted == registered


def test_groups_have_the_names_that_the_services_use() -> None:
    from kappi_galleries import consumers as galleries
    from kappi_identity import consumers as identity
    from kappi_janitor import consumers as janitor
    from kappi_media import consumers as media

    groups = {galleries.GROUP, identity.GROUP, janitor.GROUP, janitor.TICK_GROUP}
    assert groups | {media.GROUP, media.WORKER_GROUP} == set(consumer_groups())
