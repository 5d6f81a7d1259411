// Joins a terminal on the page to a shell in the sandbox: its output comes as text frames; keys go
// out as text frames, the size as {"rows", "cols"}.
import { Terminal } from "./xterm.mjs";
import { FitAddon } from "./addon-fit.mjs";

const terminal = new Terminal({
  cursorBlink: true,
  scrollback: 10000,
  fontSize: 14,
  fontFamily: "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace",
});
const fit = new FitAddon();
terminal.loadAddon(fit);
terminal.open(document.getElementById("terminal"));
fit.fit();

const address = new URL("ws", location.href);
address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
address.search = new URLSearchParams({ cols: terminal.cols, rows: terminal.rows });
const socket = new WebSocket(address);

// What is typed, and the size of a window that changes, before the socket is there.
const early = [];
const say = (text) => {
  if (socket.readyState === WebSocket.CONNECTING) early.push(text);
  if (socket.readyState === WebSocket.OPEN) socket.send(text);
};
socket.addEventListener("open", () => early.splice(0).forEach(say));
terminal.onData(say);
terminal.onResize(({ cols, rows }) => say(JSON.stringify({ rows, cols })));
terminal.onTitleChange((title) => { document.title = title || "Terminal"; });
window.addEventListener("resize", () => fit.fit());
socket.addEventListener("message", (event) => terminal.write(event.data));
socket.addEventListener("close", async ({ reason }) => {
  const text = reason || (await refusal()) || "The connection was lost.";
  const ended = document.getElementById("ended");
  ended.querySelector("span").textContent = text.charAt(0).toUpperCase() + text.slice(1);
  const again = ended.querySelector("button");
  again.addEventListener("click", () => location.reload());
  ended.hidden = false;
  // Nothing that is typed goes anywhere any more, and Enter is the next thing that is.
  terminal.blur();
  terminal.options.cursorBlink = false;
  again.focus();
});

// Why no socket can be had, such as a sandbox that is stopped; a socket itself cannot tell.
async function refusal() {
  try {
    const { message, source } = await (await fetch("ws")).json();
    return source === "DAYTONA_PROXY" ? message : "";
  } catch {
    return "";
  }
}
terminal.focus();
