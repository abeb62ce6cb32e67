// The few things that the markup cannot say: empty a form after it was sent, send with Ctrl+Enter, show a refusal.
"use strict";

document.addEventListener("htmx:after:request", (event) => {
  const { sourceElement: form, response } = event.detail.ctx;
  const notice = document.getElementById("notice");
  if (!(form instanceof HTMLFormElement) || !response) return;
  const done = response.status < 400;
  if (done && form.hasAttribute("data-clears")) {
    form.reset();
    form.querySelectorAll("textarea").forEach(fit);
  }
  notice.hidden = done;
  notice.textContent = done ? "" : `That did not work (${response.status}).`;
});

document.addEventListener("htmx:error", (event) => {
  if (!(event.detail?.ctx?.sourceElement instanceof HTMLFormElement)) return;
  const notice = document.getElementById("notice");
  notice.hidden = false;
  notice.textContent = "The simulator does not answer.";
});

document.addEventListener("keydown", (event) => {
  const field = event.target;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && field instanceof HTMLTextAreaElement) {
    event.preventDefault();
    field.form.requestSubmit();
  }
});

// A text field grows with its text.
function fit(field) {
  const lines = field.value.split("\n").length;
  field.rows = Math.max(Number(field.dataset.rows ||= field.rows), Math.min(lines, 12));
}
document.addEventListener("input", (event) => {
  if (event.target instanceof HTMLTextAreaElement) fit(event.target);
});
