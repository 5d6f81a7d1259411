// Lists the recordings of a sandbox's desktop, plays, downloads and deletes them. Names come from
// inside the sandbox: they are text here, never markup.
const at = (id) => document.getElementById(id);
const [note, table, rows, player, video] = ["note", "table", "rows", "player", "video"].map(at);
const NONE = "No recordings yet. One begins with computer_use.recording.start() of an SDK.";

async function ask(method, body) {
  const answer = await fetch("api/recordings", {
    method,
    headers: body && { "Content-Type": "application/json" },
    body: body && JSON.stringify(body),
  });
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.message ?? `The sandbox answered ${answer.status}.`);
  return said;
}

const say = (text) => {
  // Errors begin small.
  note.textContent = text.charAt(0).toUpperCase() + text.slice(1);
};

// Whatever fails is said where people look, in place of what was there.
const attempt = (work) => async () => {
  try {
    await work();
  } catch (error) {
    say(error.message);
  }
};

const load = async (said = "") => {
  const { recordings } = await ask("GET");
  const chosen = new Set(selected());
  rows.replaceChildren(...recordings.reverse().map((one) => row(one, chosen.has(one.id))));
  table.hidden = recordings.length === 0;
  say(said || (recordings.length === 0 ? NONE : ""));
  mark();
};

function row(recording, isSelected) {
  const made = at("row").content.cloneNode(true).firstElementChild;
  const part = (selector) => made.querySelector(selector);
  const { id, fileName, status } = recording;
  const name = label(fileName);
  const address = `videos/${encodeURIComponent(fileName)}`;
  Object.assign(made.dataset, { id, address });
  part(".name").textContent = name;
  part(".name").title = fileName;
  part(".started").textContent = new Date(recording.startTime).toLocaleString();
  part(".length").textContent = length(recording.durationSeconds);
  part(".size").textContent = size(recording.sizeBytes);
  const [box, play, download] = ["input", "button", "a"].map(part);
  box.ariaLabel = `Select ${name}`;
  box.checked = isSelected;
  box.disabled = status === "recording";
  play.addEventListener("click", () => show(address, name));
  Object.assign(download, { href: address, download: fileName });
  play.hidden = status !== "completed";
  download.hidden = status === "recording";
  part(".actions span").textContent = { recording: "being recorded", failed: "cannot be played" }[status] ?? "";
  return made;
}

// `{id}_{label}_{day}_{time}.mp4`
const label = (fileName) => fileName.slice(37, -20) || fileName;

function length(seconds) {
  if (seconds === undefined) return "";
  const whole = Math.round(seconds);
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return `${hours ? `${hours}:${two(minutes)}` : minutes}:${two(whole % 60)}`;
}

function size(bytes) {
  if (bytes === undefined) return "";
  const step = Math.min(Math.floor(Math.log(Math.max(bytes, 1)) / Math.log(1024)), 3);
  return `${(bytes / 1024 ** step).toFixed(step && 1)} ${["B", "KiB", "MiB", "GiB"][step]}`;
}

function show(address, name) {
  video.src = address;
  at("playing").textContent = name;
  player.hidden = false;
  mark();
  player.scrollIntoView({ block: "nearest" });
  // Refused while no gesture allows sound; the controls are there.
  video.play().catch(() => {});
}

function close() {
  player.hidden = true;
  video.removeAttribute("src");
  video.load();
  mark();
}

const boxes = () => [...rows.querySelectorAll("input:enabled")];
const selected = () => boxes().filter((box) => box.checked).map((box) => box.closest("tr").dataset.id);

// What depends on the choice of rows and on what plays.
function mark() {
  const [all, chosen] = [boxes().length, selected().length];
  at("delete").disabled = chosen === 0;
  at("delete").textContent = chosen ? `Delete ${chosen}` : "Delete";
  Object.assign(at("all"), { checked: all > 0 && chosen === all, indeterminate: chosen > 0 && chosen < all });
  for (const one of rows.children) {
    const plays = !player.hidden && video.getAttribute("src") === one.dataset.address;
    plays ? one.setAttribute("aria-current", "true") : one.removeAttribute("aria-current");
  }
}

async function remove() {
  const ids = selected();
  if (!confirm(ids.length === 1 ? "Delete this recording?" : `Delete ${ids.length} recordings?`)) return;
  const { deleted, reasons } = await ask("DELETE", { ids });
  const current = rows.querySelector("[aria-current]");
  if (deleted.includes(current?.dataset.id)) close();
  await load(Object.values(reasons).join("\n"));
}

video.addEventListener("error", () => {
  if (video.getAttribute("src")) say("This recording cannot be played; download it instead.");
});
rows.addEventListener("change", mark);
at("all").addEventListener("change", ({ target }) => {
  for (const box of boxes()) box.checked = target.checked;
  mark();
});
at("close").addEventListener("click", close);
at("delete").addEventListener("click", attempt(remove));
at("reload").addEventListener("click", attempt(load.bind(null, "")));
attempt(load)();
