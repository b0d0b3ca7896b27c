"""Task queues for Python that keep their tasks in SQLite, here with synchronous=FULL: what is acknowledged stays.

Usage: sqlite_queues.py huey|litequeue DIRECTORY TASKS

One process produces, three work; each has a connection of its own. Prints the seconds from the first task put until the
last one is done. Exits with 3 when the library is not installed.

The workers call what the libraries' own workers call, without logging and without their pauses while there is nothing to
do; the producer never waits for the workers. Both can only make the peers quicker than they are in service.
"""

import importlib.util
import multiprocessing
import os
import sys
import time

WORKERS = 3
PROMPT = "0123456789abcdef0123456789abcdef"
LOCK_SECONDS = 60


class Huey:
    """Put; dequeued, which deletes the row; its result stored. Three commits for a task."""

    def __init__(self, directory):
        from huey import SqliteHuey

        file = os.path.join(directory, "huey.db")
        self.huey = SqliteHuey(filename=file, fsync=True, timeout=LOCK_SECONDS)
        self.echo = self.huey.task(name="echo")(lambda prompt: prompt)

    def put(self):
        self.echo(PROMPT)

    def work(self):
        task = self.huey.dequeue()
        if task is None:
            return False
        self.huey.execute(task)
        return True


class LiteQueue:
    """Put; popped, which locks the row; marked as done. Three commits for a task; no result is stored."""

    def __init__(self, directory):
        from litequeue import LiteQueue as Queue

        self.queue = Queue(os.path.join(directory, "litequeue.db"), timeout=LOCK_SECONDS)
        # The library says NORMAL, which may lose what was acknowledged.
        self.queue.conn.execute("PRAGMA synchronous = FULL")

    def put(self):
        self.queue.put(PROMPT)

    def work(self):
        message = self.queue.pop()
        if message is None:
            return False
        self.queue.done(message.message_id)
        return True


def produce(queue, directory, tasks, barrier, begun):
    queue = queue(directory)
    barrier.wait()
    begun.value = time.monotonic()
    for _ in range(tasks):
        queue.put()


def consume(queue, directory, tasks, barrier, done, ended):
    queue = queue(directory)
    barrier.wait()
    while done.value < tasks:
        if not queue.work():
            time.sleep(0.0005)
            continue
        with done.get_lock():
            done.value += 1
            if done.value == tasks:
                ended.value = time.monotonic()


def main(name, directory, tasks):
    queue = {"huey": Huey, "litequeue": LiteQueue}[name]
    if importlib.util.find_spec(name) is None:
        return 3
    # Makes the tables. In a process of its own, as no connection may be taken along into another.
    first = multiprocessing.Process(target=queue, args=(directory,))
    first.start()
    first.join()
    barrier = multiprocessing.Barrier(1 + WORKERS)
    done = multiprocessing.Value("q", 0)
    begun, ended = multiprocessing.Value("d", 0.0), multiprocessing.Value("d", 0.0)
    processes = [multiprocessing.Process(target=produce, args=(queue, directory, tasks, barrier, begun))]
    for _ in range(WORKERS):
        arguments = (queue, directory, tasks, barrier, done, ended)
        processes.append(multiprocessing.Process(target=consume, args=arguments))
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        return 1
    print(ended.value - begun.value)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
