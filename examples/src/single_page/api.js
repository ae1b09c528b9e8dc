// Calls an API with a token that is kept fresh.

const LONGEST_WAIT_SECONDS = 10;

/**
 * Like `fetch`, with the token in its header. A token that is refused is replaced, and the call tried once
 * more; keys that the API cannot have for the moment are waited for, once. `onRetry` hears why.
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
    // Expired on the way, or its key was withdrawn. A second refusal is for good.
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

/** What the challenge says (RFC 6750 §3). Cross-origin it is readable because the API exposes the header. */
export function descriptionOf(response) {
  const challenge = response.headers.get("WWW-Authenticate") ?? "";
  return /error_description="([^"]*)"/.exec(challenge)?.[1] ?? `${response.status}`;
}
