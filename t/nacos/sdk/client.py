"""Instances and subscriptions of a registry by the vendor's SDK, over gRPC.

    client.py HOST:PORT

does what the lines of its standard input say and answers each by `ok` or by what
went wrong:

    register SERVICE PORT IP=WEIGHT     over a connection of its own; a weight
                                        that is another changes the instance
    batch SERVICE PORT IP=WEIGHT ...    over one connection for all that is so
                                        registered with a port; instead of what
                                        was before
    deregister SERVICE PORT IP
    subscribe SERVICE                   then it prints, too, at each call back
                                        `push NANOSECONDS IP=WEIGHT ...`, on the
                                        monotonic clock

The instances are ephemeral: they end with it. It writes where it is run.
"""

import asyncio
import os
import sys
import time

from v2.nacos import (BatchRegisterInstanceParam, ClientConfigBuilder,
                      DeregisterInstanceParam, NacosNamingService,
                      RegisterInstanceParam, SubscribeServiceParam)


def say(line):
    print(line, flush=True)


async def on_change(instances):
    now = time.monotonic_ns()
    say(f"push {now} " + " ".join(f"{i.ip}={i.weight:g}" for i in instances))


def instance(service, port, text):
    ip, weight = text.split("=")
    return RegisterInstanceParam(service_name=service, ip=ip, port=int(port),
                                 weight=float(weight), ephemeral=True)


class Client:
    def __init__(self, server):
        self.server = server
        self.connections = {}   # by whose they are

    async def connection(self, *owner):
        if owner not in self.connections:
            config = (ClientConfigBuilder().server_address(self.server)
                      .log_dir(".").cache_dir(".").build())
            self.connections[owner] = \
                await NacosNamingService.create_naming_service(config)
        return self.connections[owner]

    async def register(self, service, port, text):
        new = instance(service, port, text)
        client = await self.connection(service, port, new.ip)
        return await client.register_instance(new)

    async def batch(self, service, port, *texts):
        client = await self.connection(port, "batch")
        return await client.batch_register_instances(BatchRegisterInstanceParam(
            service_name=service,
            instances=[instance(service, port, text) for text in texts]))

    async def deregister(self, service, port, ip):
        client = await self.connection(service, port, ip)
        return await client.deregister_instance(DeregisterInstanceParam(
            service_name=service, ip=ip, port=int(port), ephemeral=True))

    async def subscribe(self, service):
        client = await self.connection(service, "subscribe")
        await client.subscribe(SubscribeServiceParam(
            service_name=service, subscribe_callback=on_change))
        return True


COMMANDS = ("register", "batch", "deregister", "subscribe")


async def main(server):
    client = Client(server)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := (await lines.readline()).decode():
        command, *words = line.split()
        try:
            if command not in COMMANDS:
                raise ValueError(f"unknown: {command}")
            done = await getattr(client, command)(*words)
            say("ok" if done else "refused")
        except Exception as error:
            say(f"{type(error).__name__}: {error}")
    os._exit(0)     # without saying good-bye to the server


asyncio.run(main(sys.argv[1]))
