"""``loop_aiokafka.py BOOTSTRAP GROUP TOPIC``: an aiokafka loop that reports."""

import asyncio
import os
import signal
import socket
import sys

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from swarm_worker import Liveness

MAX_POLL_INTERVAL_MS = 300_000


async def handle(message: ConsumerRecord) -> None:
    """Do the work; here: tell the value. It must never block the event loop."""
    print((message.value or b"").decode(), flush=True)  # noqa: T201 - an example


async def consume(
    consumer: AIOKafkaConsumer, liveness: Liveness, stopping: asyncio.Event
) -> None:
    """Take what is there, partition by partition, until told to stop."""
    while not stopping.is_set():
        batches = await consumer.getmany(timeout_ms=500, max_records=100)
        liveness.polled()
        for partition, messages in batches.items():
            await work(consumer, liveness, partition, messages)


async def work(
    consumer: AIOKafkaConsumer,
    liveness: Liveness,
    at: TopicPartition,
    messages: list[ConsumerRecord],
) -> None:
    """Handle the messages of a partition, then commit where they end."""
    with liveness.consuming(f"{at.topic}/{at.partition}@{messages[0].offset}"):
        for message in messages:
            await handle(message)
    await consumer.commit({at: messages[-1].offset + 1})


async def main(bootstrap: str, group: str, topic: str) -> None:
    """Consume until TERM."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    name = os.environ.get("SUPERVISOR_PROCESS_NAME", "by-hand")
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=group,
        # A restarted process gets its own partitions back, without a rebalance.
        group_instance_id=f"{socket.gethostname()}-{group}-{name}",
        session_timeout_ms=45_000,  # its default, 10 s, is short for a restart
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_poll_interval_ms=MAX_POLL_INTERVAL_MS,
    )
    with Liveness(max_poll_interval_ms=MAX_POLL_INTERVAL_MS) as liveness:
        await consumer.start()
        try:
            await consume(consumer, liveness, stopping)
        finally:
            await consumer.stop()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
