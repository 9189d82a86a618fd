/** How others take part: a command for a machine, a link and a QR code for a browser. */
import { useEffect, useState } from 'preact/hooks';
import { type Address, askInvitation, joinAddress } from '../data/invitation.ts';
import { Check, Copy } from './icons.tsx';
import { QrCode } from './qr-code.tsx';
import { ScrollBox } from './scroll-box.tsx';

const isLoopback = /^(localhost|127\.|\[::1\])/.test(location.hostname);

/** What to type on another machine. */
function Machine() {
  const command = `npx lockstep join ${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}`;
  const [copied, setCopied] = useState(false);
  const copy = async (): Promise<void> => {
    await navigator.clipboard.writeText(command);
    setCopied(true);
    setTimeout(() => setCopied(false), 2000);
  };
  return (
    <div class="join-way">
      <h3>Add a machine</h3>
      <div class="command">
        <ScrollBox label="Command to join">
          <code>{command}</code>
        </ScrollBox>
        {/* Browsers allow it on https and on this machine only. */}
        {navigator.clipboard && (
          <button type="button" class="button" onClick={copy} aria-label="Copy the command">
            {copied ? <Check /> : <Copy />}
            <span>{copied ? 'Copied' : 'Copy'}</span>
          </button>
        )}
      </div>
      <p class="quiet">
        {isLoopback && 'From another machine, put the address of this one in. '}
        Where a token is needed, add <code>--token …</code>: the coordinator has printed it, and the whole command.
      </p>
    </div>
  );
}

/** The code, and what to know about it. */
function Code() {
  const [address, setAddress] = useState<Address | undefined>();
  useEffect(() => {
    askInvitation().then(
      (invitation) => setAddress(joinAddress(location, invitation)),
      () => setAddress(joinAddress(location, undefined)),
    );
  }, []);
  if (!address) return null;
  if (address.scope === 'this machine') {
    return (
      <p class="quiet">
        Other devices do not reach <code>{location.host}</code>: start the coordinator with <code>--host 0.0.0.0</code>.
      </p>
    );
  }
  return (
    <>
      <QrCode text={address.href} label="QR code that opens the join page" />
      <p class="quiet">
        {address.holdsToken && 'It holds the token: whoever scans it can join, and see this page. '}
        It opens <code>{address.shown}</code>.
      </p>
    </>
  );
}

/** A browser that becomes a worker. */
function Browser() {
  const [isOpen, setOpen] = useState(false);
  return (
    <div class="join-way">
      <h3>Add a browser</h3>
      <p class="quiet">
        <a href="join">Open the join page</a> in any browser, and the tab trains; a phone scans the code.
      </p>
      <details onToggle={({ currentTarget }) => setOpen(currentTarget.open)}>
        <summary>QR code</summary>
        {isOpen && <Code />}
      </details>
    </div>
  );
}

export const Join = () => (
  <div class="join" id="join">
    <Machine />
    <Browser />
  </div>
);
