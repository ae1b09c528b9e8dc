// These limits only end a test that hangs. No test may depend on speed.

/** For one wait, in milliseconds. */
export const WAIT_MS = 60_000;

/** For a whole test, and for the hooks before and after a suite. */
export const TEST = { timeout: 300_000 };

/** How many tests of a suite run at once. More would only wait for one another. */
export const CONCURRENCY = 2;
