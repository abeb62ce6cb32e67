"""A pretend Linear and a scripted model, for people and tests. It knows nothing of the service that it tries.

It is written from Linear's public documentation and schema alone, so that a misreading in the service cannot cancel
itself out here. `Simulator` (server.py) puts everything on one port of 127.0.0.1:

    async with Simulator(webhook_url="http://127.0.0.1:3000/webhooks/linear") as sim:
        issue = sim.people.create_issue("It is broken")              # what people do: people.py
        session = sim.people.mention(issue.id, "please fix it")      # signed webhooks leave: payloads.py, hooks.py
        await sim.wait_for(lambda world: world.status(world.session(session.id)) == "complete")
        [row.body for row in sim.world.activities(session.id)]       # what a person would see: world.py, records.py

    /graphql, /oauth/token  schema.graphql, graphql.py, resolvers.py; what the app may do: agent.py, shapes.py
    trouble on command      faults.py (GraphQL), hooks.py (webhooks), tokens.py, quota.py
    /v1                     the scripted model: model.py, conversation.py, script.py, stories.py, sample.py
    /control                the same for other processes: control.py
    /                       an issue tracker for people: page.py
"""

from dragoman.sim.faults import Fault
from dragoman.sim.hooks import Mischief
from dragoman.sim.server import Simulator

__all__ = ["Fault", "Mischief", "Simulator"]
