/**
 * The log of a foreground node: one line an event, for people or for machines.
 */
export type LogFormat = 'text' | 'json';
export type LogLevel = 'info' | 'warning' | 'error';
export type Log = (level: LogLevel, message: string, fields?: Record<string, string | number | undefined>) => void;

const toStdout = (line: string) => void process.stdout.write(line);

export function createLog(format: LogFormat, write: (line: string) => void = toStdout): Log {
  return (level, message, fields = {}) => {
    const time = new Date().toISOString();
    if (format === 'json') return write(`${JSON.stringify({ time, level, message, ...fields })}\n`);
    const extra = Object.entries(fields)
      .filter(([, value]) => value !== undefined)
      .map(
        ([key, value]) =>
          ` ${key}=${typeof value === 'string' && /[\s"=]/.test(value) ? JSON.stringify(value) : value}`,
      );
    write(`${time} ${level === 'info' ? '' : `${level}: `}${message}${extra.join('')}\n`);
  };
}
