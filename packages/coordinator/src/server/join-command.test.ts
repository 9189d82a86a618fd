import { expect, it } from 'vitest';
import { joinCommand } from './join-command.ts';

it('says what to type', () => {
  const server = { url: 'ws://192.168.1.5:7070', fingerprint: undefined };
  expect(joinCommand(server, undefined)).toBe('npx lockstep join ws://192.168.1.5:7070');
  expect(joinCommand(server, 'abcdefgh')).toBe('npx lockstep join ws://192.168.1.5:7070 --token abcdefgh');
  expect(joinCommand({ url: 'wss://gpu-box:7070', fingerprint: 'AA:0F' }, 'abcdefgh')).toBe(
    'npx lockstep join wss://gpu-box:7070 --token abcdefgh --tls-fingerprint AA:0F',
  );
});

it('quotes what a shell would read as something else', () => {
  const server = { url: 'ws://[fd00::5]:7070', fingerprint: undefined };
  expect(joinCommand(server, "it's$HOME")).toBe("npx lockstep join 'ws://[fd00::5]:7070' --token 'it'\\''s$HOME'");
});
