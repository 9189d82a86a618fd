/** What a peer says ends up on terminals and pages: in one line, without control characters, and not too long. */
export const printable = (text: string): string => text.replaceAll(/[\p{C}\p{Zl}\p{Zp}]/gu, ' ').slice(0, 1000);
