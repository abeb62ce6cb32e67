"""OpenCode's side of a session: its threads, and what its disk holds of them."""

from __future__ import annotations

from dragoman.core.session import Session
from dragoman.runtime.agent_host import ForgetfulHost
from dragoman.runtime.desk import Desk


async def delete_threads(host: ForgetfulHost, desk: Desk, session: Session) -> int:
    """Delete all threads of a session with what was said in them; how many that were. May be repeated.

    Those that the session has left are found while its workspace stands. Raises OpenCodeError, Told.
    """
    directory = session.workspace.directory if session.workspace else desk.standing(session)
    if directory is None:
        return 0
    client = await host.client()
    threads = set(await client.threads_of(directory, session.id)) | ({session.thread} if session.thread else set())
    for thread in sorted(threads):
        await host.drop_outputs(await client.output_files(thread, directory))
        await client.delete_thread(thread, directory)
    return len(threads)
