// Asks the server; what goes wrong is an Error whose message is a sentence for the page.

const UNREACHED = "The server cannot be reached: is scoreinv serve still running?";
const LOOK_EVERY = 500; // milliseconds; at first more often, since some jobs are done at once
const TRIES = 20; // to look at a job in vain before it is given up: a phone that wakes has no network at first

const OPAQUE = { "content-type": "application/octet-stream" };

// signal: an AbortSignal by which the asking is given up. An Error has the `status` of the answer, if there was one.
export async function ask(method, path, body, signal) {
  const headers = method === "POST" ? OPAQUE : {};
  let answer;
  try {
    answer = await fetch(path, { method, body, headers, signal });
  } catch (error) {
    throw signal?.aborted ? error : new Error(UNREACHED);
  }
  if (!answer.ok) throw Object.assign(new Error(await reason(answer)), { status: answer.status });
  return answer;
}

// Tells the server what a page that ends has to say. No beacon: some browsers would hide the page's origin there,
// without which nothing is let in.
export function tell_last(path) {
  fetch(path, { method: "POST", headers: OPAQUE, keepalive: true }).catch(() => {});
}

async function reason(answer) {
  try {
    return (await answer.json()).error;
  } catch {
    return `The server refused this (${answer.status}).`;
  }
}

// Sends a file, unless it is larger than the server takes: a refusal in the middle would not be heard.
export async function send(path, file) {
  const { bytes } = await (await ask("GET", "/api/limits")).json();
  if (file.size > bytes) throw new Error(`${file.name} is larger than ${bytes >> 20} MB: use the command line for it.`);
  return ask("POST", path, file);
}

// Looks at a job until its end, as long as told(report) says so; gives its last report, or null. Each look is asked for
// anew, since a browser has six connections for all tabs of a server.
export async function follow(key, told) {
  let wait = 40;
  for (let failures = 0; ; await new Promise((resolve) => setTimeout(resolve, wait))) {
    wait = Math.min(LOOK_EVERY, 1.5 * wait);
    let report;
    try {
      report = await (await ask("GET", `/api/jobs/${key}`)).json();
    } catch (error) {
      failures += 1;
      if (error.status < 500 || failures === TRIES) throw error;
      continue;
    }
    failures = 0;
    if (!told(report)) return null;
    if (!["waiting", "running"].includes(report.state)) return report;
  }
}
