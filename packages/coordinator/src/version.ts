/** The version of Lockstep, for what it writes about itself. */
export const VERSION = '0.1.0';
