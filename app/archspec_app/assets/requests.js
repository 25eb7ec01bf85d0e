// Requests to the server, one after the other: Gradio may drop one of two answers that arrive together.

const ANSWER_TIMEOUT = 90000;

// `send` triggers an event of the view. The answer to a request has its `request_id`.
export function requestQueue(send) {
  const waiting = [];
  let current = null;
  let serial = 0;

  function next() {
    if (current || !waiting.length) return;
    current = waiting.shift();
    serial += 1;
    current.id = `${current.event} ${serial}`;
    current.timer = setTimeout(() => finish({ error: "The server has not answered. Try again." }), ANSWER_TIMEOUT);
    send(current.event, { ...current.data, request_id: current.id });
  }
  function finish(value) {
    clearTimeout(current.timer);
    const { done } = current;
    current = null;
    done(value);
    next();
  }
  const ask = (event, data) =>
    new Promise((done) => {
      waiting.push({ event, data, done });
      next();
    });
  const receive = (value) => {
    if (current && value?.request_id === current.id) finish(value);
  };
  // Drops the requests of an event that have not been sent; their promises are never kept.
  const drop = (events) => {
    const kept = waiting.filter(({ event }) => !events.includes(event));
    waiting.splice(0, waiting.length, ...kept);
  };
  return { ask, receive, drop };
}
