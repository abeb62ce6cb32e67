"""How a pretend OpenCode plays a script: one assistant message a step, tools that pretend, asks that wait, trouble.

What it is told to play is in the words of agent_script.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from dragoman.record import Record
from dragoman.sim.script import Ask, Drop, Fail, Pause, Say, Think, Use, filled
from tests.stories.agent_script import Compacts, Delegated, Guarded, Part, Steps, call_of, pieces_of, words_of
from tests.stories.agent_threads import Thread, Wire, new_id, now_ms, started_tool, text_of

ABORTED = {"name": "MessageAbortedError", "data": {"message": "Aborted"}}
SOCKET = "Cannot connect to API: The socket connection was closed unexpectedly."
FINAL_WRITE_S = 0.02  # between the first idle and the last write of a run that was aborted or failed


class Pending(Record):
    """An ask that waits for an answer."""

    shown: Wire
    directory: str
    answer: asyncio.Future[Wire]


class Declined(Exception):
    """A person said no: the run ends with this step."""


class Provider(Exception):
    """The model's provider refused for good."""


class Player:
    """Plays scripts in threads.

    scripts  (fragment of the newest user text, steps); the newest that fits is played, "" fits each text that begins a
             run
    runs     how often the model was set to work on a user message, by its id
    retry_s  how long the provider is left alone between two tries
    """

    def __init__(self, changed: Callable[[], None], new_thread: Callable[[str, Wire, str], Thread]) -> None:
        self._changed = changed
        self._new_thread = new_thread
        self.scripts: list[tuple[str, Steps]] = []
        self.runs: dict[str, int] = {}
        self.retry_s = 0.02
        self.permissions: dict[str, Pending] = {}
        self.questions: dict[str, Pending] = {}
        self._gates: dict[str, asyncio.Event] = {}
        self._struck: dict[tuple[str, int, int], int] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def gate(self, name: str) -> asyncio.Event:
        """What `Pause(until=NAME)` and `wait NAME` wait for."""
        return self._gates.setdefault(name, asyncio.Event())

    def start(self, thread: Thread) -> None:
        """Set a thread going unless it runs; one that runs finds what is new at its next step."""
        if thread.id not in self._tasks:
            thread.status = {"type": "busy"}
            task = asyncio.create_task(self._run(thread))
            self._tasks[thread.id] = task
            task.add_done_callback(lambda done: self._ended(thread.id, done))

    def cut(self, thread: Thread | None = None) -> None:
        """Die in the middle: nothing more is written, what streamed is forgotten, pending asks are gone."""
        doomed = list(self._tasks) if thread is None else [thread.id]
        for key in doomed:
            if (task := self._tasks.pop(key, None)) is not None:
                task.cancel()
        for asks in (self.permissions, self.questions):
            for key in [key for key, one in asks.items() if thread is None or one.directory == thread.directory]:
                del asks[key]

    async def abort(self, thread: Thread) -> None:
        """Stop a run as the real one does: idle is told before the last writes."""
        task = self._tasks.pop(thread.id, None)
        if task is None:
            return
        retrying = thread.status["type"] == "retry"
        task.cancel()
        await asyncio.wait([task])
        last = next((m for m in reversed(thread.messages) if m["info"]["role"] == "assistant"), None)
        if last is None or "completed" in last["info"]["time"]:
            thread.set_status("idle")
        elif retrying:
            last["info"]["time"]["completed"] = now_ms()
            thread.emit("message.updated", info=last["info"])
            thread.set_status("idle")
        else:
            await self._end_badly(thread, last, ABORTED)

    # ── one run ──────────────────────────────────────────────────────────
    async def _run(self, thread: Thread) -> None:
        thread.set_status("busy")
        begun = ""
        while True:
            newest = thread.users()[-1]
            steps, number = self._place(thread, newest)
            message = thread.answer(newest["info"]["id"])
            if begun != message["info"]["parentID"]:
                begun = message["info"]["parentID"]
                self.runs[begun] = self.runs.get(begun, 0) + 1
            self._changed()
            await asyncio.sleep(0)
            try:
                finish = await self._step(thread, message, steps, number)
            except Declined:
                thread.finish(message, "tool-calls")
                break
            except Provider as refused:
                error = {"name": "APIError", "data": refused.args[0]}
                await self._end_badly(thread, message, error)
                return
            thread.finish(message, finish)
            if number < len(steps) and any(isinstance(part, Compacts) for part in steps[number]):
                self._compact(thread)
            if finish == "stop" and thread.users()[-1] is newest:
                break
            thread.set_status("busy")
        thread.set_status("idle")

    def _ended(self, key: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]
        if not task.cancelled():
            task.result()
        self._changed()

    async def _end_badly(self, thread: Thread, message: Wire, error: Wire) -> None:
        thread.emit("session.error", error=error)
        thread.set_status("idle")
        await asyncio.sleep(FINAL_WRITE_S)
        for part in message["parts"]:
            if part["id"] in thread.partial:
                thread.end_text(message, part)
            state = part.get("state", {})
            if state.get("status") == "running" and part["tool"] == "bash":
                output = "\n\n<shell_metadata>\nUser aborted the command\n</shell_metadata>"
                thread.put_part(message, {**part, "state": {**state, "status": "completed", "output": output}})
            elif state.get("status") in ("pending", "running"):
                ended = {"status": "error", "error": "Tool execution aborted", "metadata": {"interrupted": True}}
                thread.put_part(message, {**part, "state": {**state, **ended}})
        message["info"]["error"] = error
        message["info"]["time"]["completed"] = now_ms()
        thread.emit("message.updated", info=message["info"])
        thread.set_status("idle")

    def _place(self, thread: Thread, newest: Wire) -> tuple[Steps, int]:
        """The script that is played, and how many of its steps are done.

        A message without a script of its own goes on with what was played before it.
        """
        users = thread.users()
        for user in reversed(users):
            if (steps := self._script(thread, user)) is None:
                continue
            after = thread.messages[thread.messages.index(user) + 1 :]
            done = [m for m in after if m["info"]["role"] == "assistant" and not m["info"].get("summary")]
            # An interrupted tool call is not made again by itself; what was cut before any is simply said anew.
            number = sum(1 for m in done if "completed" in m["info"]["time"] or started_tool(m))
            if user is newest or number < len(steps):
                return steps, number
            break
        return ((Say(text="Done."),),), 0

    def _script(self, thread: Thread, user: Wire) -> Steps | None:
        words = text_of(user).rsplit('kind="request">', 1)[-1]
        for fragment, steps in reversed(self.scripts):
            if fragment in words and (fragment or user["info"]["id"] in thread.fresh):
                return steps
        return None

    async def _step(self, thread: Thread, message: Wire, steps: Steps, number: int) -> str:
        step: Sequence[Part] = steps[number] if number < len(steps) else (Say(text="Done."),)
        thread.put_part(message, {"id": new_id("prt"), "type": "step-start"})
        finish = "stop"
        for place, part in enumerate(step):
            match part:
                case Think() | Say():
                    await self._say(thread, message, part)
                case Pause():
                    await asyncio.wait_for(self.gate(part.until).wait(), part.seconds)
                case Fail() | Drop():
                    await self._trouble(thread, message, part, place)
                case Use() | Guarded() | Ask() | Delegated():
                    finish = "tool-calls"
                    await self._tool(thread, message, part)
                case Compacts():
                    finish = "tool-calls"
        return finish

    async def _say(self, thread: Thread, message: Wire, part: Say | Think) -> None:
        row = thread.begin_text(message, "text" if isinstance(part, Say) else "reasoning")
        for piece in pieces_of(filled(part.text, words_of(thread))):
            thread.stream(message, row, piece)
            self._changed()
            await asyncio.sleep(part.pace_s if isinstance(part, Say) else 0)
        thread.end_text(message, row)

    async def _trouble(self, thread: Thread, message: Wire, part: Fail | Drop, place: int) -> None:
        key = (message["info"]["parentID"], len(thread.messages), place)
        status, said = (part.status, part.message) if isinstance(part, Fail) else (0, SOCKET)
        while part.times is None or self._struck.get(key, 0) < part.times:
            attempt = self._struck[key] = self._struck.get(key, 0) + 1
            if status in (400, 401, 403, 404):
                raise Provider({"message": said, "statusCode": status, "isRetryable": False})
            wait_s = part.retry_after_s if isinstance(part, Fail) and part.retry_after_s is not None else self.retry_s
            thread.set_status("retry", attempt=attempt, message=said, next=now_ms() + int(wait_s * 1000))
            self._changed()
            await asyncio.sleep(wait_s)
            thread.set_status("busy")

    # ── tools and asks ───────────────────────────────────────────────────
    async def _tool(self, thread: Thread, message: Wire, part: Use | Guarded | Ask | Delegated) -> None:
        tool, args = call_of(part)
        args = filled(args, words_of(thread))
        row = new_id("prt")
        thread.put_tool(message, row, tool, status="pending", input={}, raw="")
        begun = {"input": args, "time": {"start": now_ms()}}
        if isinstance(part, Guarded) and not (set(part.always) & thread.allowed):
            thread.put_tool(message, row, tool, status="running", **begun)
            if (refusal := await self._permission(thread, message, part, args)) is not None:
                said = "The user rejected permission to use this specific tool call"
                error = f"{said} with the following feedback: {refusal}" if refusal else f"{said}."
                thread.put_tool(message, row, tool, status="error", error=error, **begun)
                if not refusal:
                    raise Declined
                return
        thread.put_tool(message, row, tool, status="running", metadata={}, **begun)
        self._changed()
        metadata: Wire = {}
        if tool == "question":
            answered = await self._question(thread, message, args)
            if answered is None:
                thread.put_tool(message, row, tool, status="error", error="The user dismissed this question", **begun)
                raise Declined
            output = answered
        elif isinstance(part, Delegated):
            output = await self._child(thread, message, part, row, begun)
        else:
            output = await self._pretend(tool, args)
        if tool == "edit":
            metadata = {"diff": f"-{args.get('oldString', '')}\n+{args.get('newString', '')}"}
        if tool == "todowrite":
            thread.emit("todo.updated", todos=args["todos"])
        if tool == "bash" and args.get("command") == "fail":
            thread.put_tool(message, row, tool, status="error", error="exit 1", **begun)
            return
        title = str(args.get("command") or args.get("filePath") or args.get("description") or "")
        thread.put_tool(message, row, tool, status="completed", output=output, title=title, metadata=metadata, **begun)

    async def _pretend(self, tool: str, args: Wire) -> str:
        command = str(args.get("command", ""))
        if tool == "bash" and command.startswith("wait "):
            await self.gate(command.removeprefix("wait ")).wait()
        await asyncio.sleep(0)
        return command.removeprefix("echo ") + "\n" if tool == "bash" else "Done."

    async def _permission(self, thread: Thread, message: Wire, part: Guarded, args: Wire) -> str | None:
        """Wait for leave: None = given, else what was said with the refusal."""
        subject = str(args.get("command") or args.get("filePath") or "")
        ask: Wire = {"id": new_id("per"), "sessionID": thread.id, "permission": part.tool, "patterns": [subject]}
        ask |= {"metadata": args, "always": list(part.always), "tool": {"messageID": message["info"]["id"]}}
        reply = await self._wait(self.permissions, thread, "permission.asked", ask)
        thread.emit("permission.replied", requestID=ask["id"], reply=reply["reply"])
        if reply["reply"] == "always":
            thread.allowed.update(part.always)
        return str(reply.get("message") or "") if reply["reply"] == "reject" else None

    async def _question(self, thread: Thread, message: Wire, args: Wire) -> str | None:
        ask: Wire = {"id": new_id("que"), "sessionID": thread.id, "questions": args["questions"]}
        ask |= {"tool": {"messageID": message["info"]["id"]}}
        reply = await self._wait(self.questions, thread, "question.asked", ask)
        if "answers" not in reply:
            thread.emit("question.rejected", requestID=ask["id"])
            return None
        thread.emit("question.replied", requestID=ask["id"], answers=reply["answers"])
        said = ", ".join(
            f'"{asked["question"]}"="{", ".join(answer)}"'
            for asked, answer in zip(args["questions"], reply["answers"], strict=True)
        )
        return f"User has answered your questions: {said}. You can now continue."

    async def _wait(self, asks: dict[str, Pending], thread: Thread, kind: str, ask: Wire) -> Wire:
        answer: asyncio.Future[Wire] = asyncio.get_running_loop().create_future()
        asks[ask["id"]] = Pending(shown=ask, directory=thread.directory, answer=answer)
        thread.emit(kind, **{key: value for key, value in ask.items() if key != "sessionID"})
        self._changed()
        # When the run is aborted while it waits, the ask stays in the list, as in the real one.
        reply = await answer
        asks.pop(ask["id"], None)
        return reply

    async def _child(self, thread: Thread, message: Wire, part: Delegated, row: str, begun: Wire) -> str:
        child = self._new_thread(thread.directory, {"title": f"{part.description} (@general subagent)"}, thread.id)
        meta = {"parentSessionId": thread.id, "sessionId": child.id}
        thread.put_tool(message, row, "task", status="running", metadata=meta, **begun)
        prompt = {"id": new_id("prt"), "type": "text", "text": f"sub-agent {child.id}"}
        child.admit({"parts": [prompt]})
        self.scripts.append((child.id, part.steps))
        self.start(child)
        await asyncio.wait([self._tasks[child.id]])
        return f'<task id="{child.id}" state="completed">\n{text_of(child.messages[-1])}\n</task>'

    def _compact(self, thread: Thread) -> None:
        request: Wire = {"id": new_id("msg"), "role": "user", "sessionID": thread.id, "time": {"created": now_ms()}}
        mark: Wire = {"id": new_id("prt"), "type": "compaction", "auto": True, "sessionID": thread.id}
        thread.put({"info": request, "parts": [mark | {"messageID": request["id"]}]})
        summary = thread.answer(request["id"], summary=True)
        row = thread.begin_text(summary, "text")
        thread.stream(summary, row, "A summary for the model alone.")
        thread.end_text(summary, row)
        thread.finish(summary, "stop")
        on: Wire = {"id": new_id("msg"), "role": "user", "sessionID": thread.id, "time": {"created": now_ms()}}
        text: Wire = {"id": new_id("prt"), "type": "text", "synthetic": True, "text": "Continue if you have next steps"}
        thread.put({"info": on, "parts": [text | {"messageID": on["id"], "sessionID": thread.id}]})
        thread.emit("session.compacted")
