// Requests to the server. A failure throws an Error whose message is a sentence for the page.

const UNREACHABLE = "The server does not respond: is scoreinv serve still running?";
const POLL_INTERVAL = 500; // milliseconds between polls; shorter at first, since some jobs end at once
const MOST_FAILURES = 20; // failed polls before a job is given up: a phone that wakes has no network at first

const OPAQUE = { "content-type": "application/octet-stream" };

// signal: an AbortSignal; keepalive: whether the request outlives the page. An Error has the `status` of the response,
// if there was one.
export async function ask(method, path, body, signal, keepalive = false) {
  const headers = method === "POST" ? OPAQUE : {};
  let answer;
  try {
    answer = await fetch(path, { method, body, headers, signal, keepalive });
  } catch (error) {
    throw signal?.aborted ? error : new Error(UNREACHABLE);
  }
  if (!answer.ok) throw Object.assign(new Error(await reason(answer)), { status: answer.status });
  return answer;
}

// Sends a request; returns the JSON of its response.
export const fetch_json = async (...request) => (await ask(...request)).json();

// Sends a request that outlives the page. Not a beacon: some browsers hide the Origin header there, which
// the server requires.
export function send_last(path) {
  fetch(path, { method: "POST", headers: OPAQUE, keepalive: true }).catch(() => {});
}

async function reason(answer) {
  try {
    return (await answer.json()).error;
  } catch {
    return `The server refused the request (${answer.status}).`;
  }
}

// Sends a file, if it is not too large: the browser would not report a refusal. Returns the JSON of the response.
export async function send(path, file) {
  const { bytes } = await fetch_json("GET", "/api/limits");
  if (file.size > bytes) throw new Error(`${file.name} is larger than ${bytes >> 20} MB: use the command line for it.`);
  return fetch_json("POST", path, file);
}

// Polls a job until it ends or callback(report) returns false; returns its last report, or null. It polls, since a
// browser has six connections to a server for all its tabs.
export async function follow(key, callback) {
  let wait = 40;
  for (let failures = 0; ; await new Promise((resolve) => setTimeout(resolve, wait))) {
    wait = Math.min(POLL_INTERVAL, 1.2 * wait);
    let report;
    try {
      report = await fetch_json("GET", `/api/jobs/${key}`);
    } catch (error) {
      failures += 1;
      if (error.status < 500 || failures === MOST_FAILURES) throw error;
      continue;
    }
    failures = 0;
    if (!callback(report)) return null;
    if (!["waiting", "running"].includes(report.state)) return report;
  }
}
