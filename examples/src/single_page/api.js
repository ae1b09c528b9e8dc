// Calls an API with a token that is kept fresh.

const LONGEST_WAIT_SECONDS = 10;

/**
 * Like `fetch`, with the token in its header. If the token is rejected, it is replaced and the call retried once. If
 * the API has no keys, the call is retried once after `Retry-After`. `onRetry` gets the reason.
 */
export async function callApi(url, token, { onRetry = () => {}, ...options } = {}) {
  const attempt = async () => {
    const text = await token.get();
    const headers = new Headers(options.headers);
    headers.set("Authorization", `Bearer ${text}`);
    return { text, response: await fetch(url, { ...options, headers }) };
  };
  const { text, response } = await attempt();
  if (response.status === 401) {
    // The token has just expired, or its key was withdrawn. A second rejection is final.
    onRetry(descriptionOf(response));
    token.spoil(text);
    return (await attempt()).response;
  }
  if (response.status === 503) {
    const seconds = Number(response.headers.get("Retry-After") ?? 1);
    if (seconds <= LONGEST_WAIT_SECONDS) {
      onRetry(`not now; again in ${seconds} s`);
      await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
      return (await attempt()).response;
    }
  }
  return response;
}

/** Returns the description in the challenge (RFC 6750 §3). It is readable cross-origin because the API exposes the header. */
export function descriptionOf(response) {
  const challenge = response.headers.get("WWW-Authenticate") ?? "";
  return /error_description="([^"]*)"/.exec(challenge)?.[1] ?? `${response.status}`;
}
