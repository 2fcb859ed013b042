// Asks the server; what goes wrong is an Error whose message is a sentence for the page.

const UNREACHED = "The server cannot be reached: is scoreinv serve still running?";

export async function ask(method, path, body) {
  const headers = method === "POST" ? { "content-type": "application/octet-stream" } : {};
  let answer;
  try {
    answer = await fetch(path, { method, body, headers });
  } catch {
    throw new Error(UNREACHED);
  }
  if (!answer.ok) throw new Error(await reason(answer));
  return answer;
}

async function reason(answer) {
  try {
    return (await answer.json()).error;
  } catch {
    return `The server refused this (${answer.status}).`;
  }
}

// Follows a job to its end, told of each report; gives its last one. Reports come as server-sent events, so that the
// server sees at once when this page is closed, and a page in the background needs no timer.
export function follow(key, told) {
  return new Promise((resolve, reject) => {
    const events = new EventSource(`/api/jobs/${key}`);
    let failures = 0;
    events.onmessage = (event) => {
      failures = 0;
      const report = JSON.parse(event.data);
      told(report);
      if (["waiting", "running"].includes(report.state)) return;
      events.close();
      resolve(report);
    };
    events.onerror = () => {
      failures += 1;
      if (events.readyState !== EventSource.CLOSED && failures < 5) return;
      events.close();
      reject(new Error(UNREACHED));
    };
  });
}
