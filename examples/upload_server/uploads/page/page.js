// Names are set as text, never as HTML: who sends a file chooses its name.

const $ = (id) => document.getElementById(id);
const form = $("form");
const maxFiles = Number(form.dataset.maxFiles);
const maxFileSize = Number(form.dataset.maxFileSize);
const maxTotalSize = Number(form.dataset.maxTotalSize);

const accepted = $("files").accept.split(",").filter(Boolean);

let chosen = []; // {file, item, bar, remove, fault}
let underway = null; // an AbortController
let begun = 0; // when, in milliseconds

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function sizeText(bytes) {
  if (bytes === 1) return "1 byte";
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; bytes >= 1024 && unit < units.length - 1; unit++) bytes /= 1024;
  return `${unit && bytes < 100 ? Number(bytes.toFixed(1)) : Math.round(bytes)} ${units[unit]}`;
}

function timeText(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
}

// What people call a media type: "images", "PDF".
function typeText(type) {
  const [kind, subtype] = type.split("/");
  if (subtype === "*") return { image: "images", video: "videos", audio: "sound", text: "texts" }[kind] ?? kind;
  return /^[a-z0-9]{2,5}$/.test(subtype) ? subtype.toUpperCase() : type;
}

const isAccepted = ({ type }) =>
  !accepted.length || accepted.some((each) => [type || "application/octet-stream", `${type.split("/")[0]}/*`].includes(each));

const countText = (count) => `${count} file${count === 1 ? "" : "s"}`;

// The name as it is written, whatever direction its letters run in.
const nameElement = (name) => element("bdi", { className: "name", textContent: name });

function choose(files) {
  if (underway) return;
  for (const file of files) {
    const bar = element("progress", { max: 1, value: 0, hidden: true });
    bar.setAttribute("aria-label", `Received of ${file.name}`);
    const remove = element("button", { type: "button", className: "quiet small", textContent: "Remove" });
    remove.setAttribute("aria-label", `Remove ${file.name}`);
    const size = element("span", { className: "size", textContent: sizeText(file.size) });
    const fault = element("p", { className: "fault", hidden: true });
    const item = element("li", {}, nameElement(file.name), size, remove, bar, fault);
    const entry = { file, item, bar, remove, fault };
    remove.addEventListener("click", () => {
      chosen = chosen.filter((each) => each !== entry);
      item.remove();
      showChosen();
      $("files").focus();
    });
    chosen.push(entry);
    $("chosen").append(item);
  }
  showChosen();
}

// What is wrong with one file; the server looks again.
function faultOf({ file }) {
  if (!isAccepted(file)) return `Files of this type are not taken here: only ${accepted.map(typeText).join(", ")}.`;
  return file.size > maxFileSize ? `This file is larger than ${sizeText(maxFileSize)}.` : "";
}

function problem() {
  const faulty = chosen.filter(faultOf).length;
  if (faulty) return `Remove ${faulty > 1 ? `the ${faulty} files` : "the file"} that cannot be taken.`;
  if (chosen.length > maxFiles) return `At most ${countText(maxFiles)} at a time.`;
  const total = chosen.reduce((sum, { file }) => sum + file.size, 0);
  return total > maxTotalSize ? `Together they are larger than ${sizeText(maxTotalSize)}.` : "";
}

function showFault(entry, text) {
  entry.item.classList.toggle("faulty", Boolean(text));
  entry.fault.textContent = text;
  entry.fault.hidden = !text;
}

function showChosen() {
  for (const entry of chosen) showFault(entry, faultOf(entry));
  $("error").textContent = problem();
  $("send").disabled = !chosen.length || Boolean($("error").textContent);
  $("send").textContent = chosen.length > 1 ? `Upload ${countText(chosen.length)}` : "Upload";
}

function showProgress({ received, total }) {
  $("bar").max = total || 1;
  if (total) $("bar").value = received;
  else $("bar").removeAttribute("value");
  $("received").textContent = `${sizeText(received)}${total ? ` of ${sizeText(total)}` : ""} received`;
  $("percent").textContent = total ? `${Math.floor((100 * received) / total)} %` : "";
  const speed = received / ((performance.now() - begun) / 1000);
  const left = total && received ? `, ${timeText((total - received) / speed)} left` : "";
  $("pace").textContent = received ? `${sizeText(speed)}/s${received < total ? left : ""}` : "";
  // The files come one after the other; what they do not account for is spread between them.
  const sizes = chosen.map(({ file }) => file.size);
  const gap = (total - sizes.reduce((sum, size) => sum + size, 0)) / sizes.length;
  let rest = received;
  for (const { file, bar } of chosen) {
    rest -= gap;
    bar.value = file.size ? Math.min(1, Math.max(0, rest / file.size)) : Number(rest >= 0);
    rest -= file.size;
  }
}

function listen(id) {
  const events = new EventSource(`/progress/${id}`);
  const close = () => events.close(); // it would connect again
  events.addEventListener("progress", (event) => {
    const progress = JSON.parse(event.data);
    if (progress.status === "receiving") showProgress(progress);
  });
  events.addEventListener("end", (event) => {
    const progress = JSON.parse(event.data);
    if (progress.status === "complete") showProgress(progress);
    close();
  });
  events.addEventListener("expired", close);
  return close;
}

function randomId() {
  // crypto.randomUUID() is not there without HTTPS.
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function send() {
  const data = new FormData();
  const several = chosen.length > 1;
  if ($("description").value) data.append("description", $("description").value);
  for (const { file } of chosen) data.append("file", file);
  const id = randomId();
  const stop = listen(id);
  try {
    const url = `${several ? "/upload-multiple" : "/upload"}?id=${id}`;
    const response = await fetch(url, { method: "POST", body: data, signal: underway.signal });
    const answer = await response.json();
    // What answers in the server's place has words of its own, or none.
    const words = typeof answer?.error === "string" && answer.error ? answer.error : `the server answers ${response.status}`;
    if (!answer?.success) throw Object.assign(new Error(words), { file: answer?.file });
    const files = several ? answer.files : [answer.file];
    return files.map((file) => ({ ...file, description: answer.description }));
  } finally {
    stop();
  }
}

function show(busy) {
  form.classList.toggle("busy", busy);
  for (const id of ["files", "description"]) $(id).disabled = busy;
  for (const { remove, bar } of chosen) {
    remove.hidden = busy;
    bar.hidden = !busy || chosen.length === 1; // its bar is that of all
  }
  $("progress").hidden = $("cancel").hidden = !busy;
  $("send").hidden = busy;
}

function showStored(file) {
  const details = element("dl");
  const add = (name, ...children) =>
    details.append(element("dt", { textContent: name }), element("dd", {}, ...children));
  if (file.description) add("Description", file.description);
  const sha256 = element("code", { className: "sha256", textContent: file.sha256 });
  add("SHA-256", sha256, " ", copyButton(sha256, file.original_filename));
  add("Stored as", element("code", { textContent: file.temp_path }));
  const size = element("span", { className: "size ok", textContent: sizeText(file.size) });
  $("stored").prepend(element("li", {}, nameElement(file.original_filename), size, details));
}

function copyButton(code, name) {
  const copy = element("button", { type: "button", className: "quiet small", textContent: "Copy" });
  copy.setAttribute("aria-label", `Copy the SHA-256 of ${name}`);
  copy.addEventListener("click", async () => {
    getSelection().selectAllChildren(code);
    let copied = true;
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {
      copied = document.execCommand("copy"); // without HTTPS there is no clipboard
    }
    $("status").textContent = `The SHA-256 is ${copied ? "in the clipboard" : "selected, to be copied"}.`;
  });
  return copy;
}

async function upload() {
  underway = new AbortController();
  begun = performance.now();
  showChosen();
  $("status").textContent = `Uploading ${countText(chosen.length)}`;
  showProgress({ received: 0, total: 0 });
  show(true);
  $("cancel").focus();
  let files = null;
  try {
    files = await send();
  } catch (error) {
    $("status").textContent = "";
    const lost = error instanceof TypeError || error instanceof SyntaxError;
    const words = lost ? "the connection was lost, or a file cannot be read" : error.message;
    const sentence = `${words[0].toUpperCase()}${words.slice(1).replace(/\.$/, "")}.`;
    $("error").textContent = error.name === "AbortError" ? "Cancelled." : sentence;
    const faulty = chosen[error.file ?? -1];
    if (faulty) {
      showFault(faulty, sentence);
      $("error").textContent = chosen.length > 1 ? "Nothing was stored: one file cannot be taken." : "Nothing was stored.";
    }
  }
  show(false);
  underway = null;
  if (!files) {
    $("send").focus();
    return;
  }
  files.toReversed().forEach(showStored);
  $("empty").hidden = true;
  $("status").textContent = `${countText(files.length)} stored`;
  chosen = [];
  $("chosen").replaceChildren();
  $("description").value = "";
  showChosen();
  $("stored-title").focus();
}

$("files").addEventListener("change", (event) => {
  choose(event.target.files);
  event.target.value = ""; // so that the same file can be chosen again
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (chosen.length && !underway && !problem()) upload();
});
$("cancel").addEventListener("click", () => underway?.abort());

// A file that misses the place for it would take the place of the page.
for (const type of ["dragover", "drop"]) window.addEventListener(type, (event) => event.preventDefault());
for (const type of ["dragenter", "dragover"]) {
  $("drop").addEventListener(type, () => $("drop").classList.toggle("over", !underway));
}
for (const type of ["dragleave", "drop"]) {
  $("drop").addEventListener(type, () => $("drop").classList.remove("over"));
}
$("drop").addEventListener("drop", ({ dataTransfer }) => {
  const items = [...dataTransfer.items].filter((item) => item.kind === "file");
  choose(items.filter((item) => !item.webkitGetAsEntry()?.isDirectory).map((item) => item.getAsFile()));
});

const kinds = accepted.length ? `: ${accepted.map(typeText).join(", ")}` : "";
$("limits").textContent = `Up to ${countText(maxFiles)}, ${sizeText(maxFileSize)} each${kinds}`;
$("origin").textContent = location.origin;
showChosen();
