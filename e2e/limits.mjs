// Limits on time only end a test that hangs: no test may depend on anything being fast.

/** For one wait, in milliseconds. */
export const WAIT_MS = 60_000;

/** For a whole test, and for what runs before and after a suite. */
export const TEST = { timeout: 300_000 };

/** How many tests of a suite run at once. More of them would only wait for one another. */
export const CONCURRENCY = 2;
