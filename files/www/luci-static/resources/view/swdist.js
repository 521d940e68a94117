'use strict';
'require dom';
'require form';
'require poll';
'require rpc';
'require view';

const callPage = rpc.declare({ object: 'swdist', method: 'page' });
const ASK_S = 10;

// Text stands in lists: what LuCI's E() is given bare, it takes for HTML.
function cell(text, title) {
	return E('td', { 'class': 'td', 'data-title': title }, [ text ]);
}

function table(titles, rows, none) {
	return E('table', { 'class': 'table' }, [
		E('tr', { 'class': 'tr table-titles' }, titles.map(t => E('th', { 'class': 'th', 'scope': 'col' }, [ t ]))),
		...rows.map(row => E('tr', { 'class': 'tr' }, row.map((text, i) => cell(text, titles[i])))),
		...(rows.length ? [] : [ E('tr', { 'class': 'tr placeholder' }, [ cell(none, '') ]) ])
	]);
}

const version = r => '%s-r%d'.format(r.version, r.revision);
const local = iso => iso ? new Date(iso).toLocaleString() : '';
const stands = r => r.why ? r.state + (/^\d/.test(r.why) ? ' ' : ': ') + r.why : r.state;

function lead(d) {
	const next = d.next, runs = _('Runs %s').format(version(d.active)) + (d.hold ? ', ' + _('held by its owner') : '');
	if (!next)
		return runs;
	return runs + '; ' + (next.in_s ? _('%s in %t').format(version(next), next.in_s)
		: _('%s as soon as it can').format(version(next)));
}

function summary(m) {
	const counts = Object.entries(m.words).map(([word, n]) => n + ' ' + word);
	const about = m.names[m.release];
	return [ _('%d nodes heard of').format(m.nodes), (about ? about + ': ' : '') + counts.join(', '),
		m.silent ? _('%d silent').format(m.silent) : '' ].filter(Boolean).join('; ');
}

function show(d) {
	const wrong = (d.trouble || []).map(t => E('div', { 'class': 'alert-message warning' }, [ t ]));
	if (!d.releases)
		return wrong;
	return [
		...wrong,
		E('p', {}, [ lead(d) ]),
		E('h3', {}, [ _('Releases') ]),
		table([ _('Release'), _('How it stands here'), _('From'), _('To') ],
			d.releases.slice().reverse().map(r => [ version(r), stands(r), local(r.start), local(r.end) ]),
			_('None is held')),
		E('h3', {}, [ _('Neighbours') ]),
		table([ _('Address'), _('Runs'), _('Clock'), _('Heard') ],
			d.neighbours.map(n => [ n.address, n.runs + (n.gives ? ', ' + _('sends to here') : ''),
				n.synced ? _('agreed') : _('not synchronised'), _('%t ago').format(n.heard_s_ago) ]),
			_('No neighbour is heard')),
		E('h3', {}, [ _('The mesh') ]),
		E('p', {}, [ summary(d.mesh) ]),
		E('h3', {}, [ _('What happened last') ]),
		E('ul', {}, d.events.map(e => E('li', {}, [ local(e.at) + ': ' + e.what ])))
	];
}

function ask() {
	return callPage().catch(e => ({ trouble: [ _('The node does not answer: %s').format(e.message) ] }));
}

function number(s, name, title, unit, lowest, highest, usual) {
	const o = s.option(form.Value, name, title, unit);
	o.datatype = 'range(%d,%d)'.format(lowest, highest);
	o.placeholder = usual;
}

function choice(s, name, title, words, hint) {
	const o = s.option(form.ListValue, name, title, hint);
	words.forEach(([word, text]) => o.value(word, text));
	o.default = words[0][0];
}

function settings() {
	const m = new form.Map('swdist');
	const s = m.section(form.NamedSection, 'node', 'swdist', _('Settings'));
	const o = s.option(form.DynamicList, 'interface', _('Interfaces'), _('where the neighbours are, such as br-mesh'));
	o.rmempty = false;
	o.datatype = 'maxlength(15)';
	s.option(form.Flag, 'hold', _('Hold'), _('fetch and relay all, but switch to nothing newer'));
	s.option(form.DynamicList, 'group', _('Groups'), _('whose experiments this node takes part in'));
	number(s, 'quota_kb', _('Flash for releases'), _('KiB'), 64, 1048576, 1024);
	number(s, 'relay_kb', _('of that for neighbours'), _('KiB of what this node has no use for'), 0, 1048576, 256);
	number(s, 'images_kb', _('RAM for images'), _('KiB; takes the package swdist-install'), 0, 131072, 0);
	number(s, 'confirm_s', _('Trial'), _('seconds for a new release to confirm itself'), 1, 86400, 300);
	s.option(form.Flag, 'set_clock', _('Set the clock'), _("set the system's clock by the mesh's; not where ntpd runs"));
	choice(s, 'reference', _('Reference clock'), [ [ 'off', _('none') ], [ 'auto', _("this system's, while NTP keeps it") ],
		[ 'broadcast', _('an NTP server that broadcasts on a trusted link') ] ]);
	choice(s, 'sntp', _('NTP for others'), [ [ 'off', _('none') ], [ 'serve', _('answer clients') ],
		[ 'broadcast', _('also broadcast') ] ], _('takes the package swdist-sntp'));
	choice(s, 'log_level', _('Log'), [ 'info', 'error', 'warn', 'debug' ].map(word => [ word, word ]));
	return m;
}

return view.extend({
	load: ask,

	render: function(d) {
		const now = E('div', {}, show(d));
		poll.add(() => ask().then(found => dom.content(now, show(found))), ASK_S);
		return settings().render().then(node => E('div', {}, [ E('h2', {}, [ _('swdist') ]), now, node ]));
	}
});
