/** Before any schema is made: zod would try to compile them, which the content security policy of the page forbids. */
import { config } from 'zod';

config({ jitless: true });
