"""aiokafka: ``getmany`` with auto commit, all else at its defaults.

Source: docs/consumer.rst of aiokafka, "Manual vs automatic committing" and the example
of ``getmany``, whose loop over partitions this is. ``getone`` and ``async for`` are
slower: they wake the loop for each message.
"""

import asyncio
from json import loads

from aiokafka import AIOKafkaConsumer

from tests.benchmarks.peers.window import ORDERS, Window


async def main() -> None:
    """Consume until killed."""
    consumer = AIOKafkaConsumer(
        ORDERS["topic"],
        bootstrap_servers=ORDERS["bootstrap"],
        group_id=ORDERS["group"],
        auto_offset_reset="earliest",
    )
    await consumer.start()
    window = Window()
    while True:
        batches = await consumer.getmany(timeout_ms=1000)
        for messages in batches.values():
            for message in messages:
                loads(message.value)
            window.saw(len(messages))


if __name__ == "__main__":
    asyncio.run(main())
