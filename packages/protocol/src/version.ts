/** Which language a coordinator and its workers speak. */

/** Raised with every change that an older peer would misunderstand. */
export const PROTOCOL_VERSION = 5;

/** WebSocket subprotocol of this version. */
export const SUBPROTOCOL = `lockstep.${PROTOCOL_VERSION}`;

/** A browser cannot set headers, so it may send its token as a second subprotocol: this, then the token in base64url. */
export const TOKEN_SUBPROTOCOL = 'lockstep.token.';
