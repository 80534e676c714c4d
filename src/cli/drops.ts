import type { Command } from 'commander';
import type { DropsDocument } from '../observe/documents.js';
import { plural, table } from './output.js';
import { defineRead } from './readVerb.js';

export function defineDrops(program: Command): void {
  defineRead<DropsDocument>(program, {
    name: 'drops',
    path: '/v1/drops',
    summary: 'show dropped packets by reason and place',
    help: 'Every packet that is not delivered is counted under exactly one reason.\n\nExamples:\n  weft drops\n  weft drops --json',
    text: dropsText,
  });
}

export function dropsText(drops: DropsDocument): string {
  const missed = drops.missed > 0 ? `\n${plural(drops.missed, 'packet')} lost before weft could read them` : '';
  if (drops.total === 0) return `nothing dropped${missed}`;
  const rows = drops.reasons.flatMap((drop) =>
    drop.where.map((place, i) => [
      i === 0 ? drop.reason : '',
      place.kind === 'removed' ? 'removed' : `${place.kind} ${place.name}`,
      place.packets,
      i === 0 ? drop.text : '',
    ]),
  );
  const lines = table(['REASON', 'WHERE', 'PACKETS', 'MEANING'], rows);
  return `${lines}\n\n${plural(drops.total, 'packet')} dropped${missed}`;
}
