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
	const next = d.next, runs = _('Runs %s').format(version(d.active)) + (d.hold ? ', ' + _('on hold') : '');
	if (!next)
		return runs;
	return runs + '; ' + (next.in_s ? _('%s in %t').format(version(next), next.in_s)
		: _('%s as soon as it can').format(version(next)));
}

function self(d) {
	return [ d.name, d.board, d.mesh_time ? _('mesh time %s').format(local(d.mesh_time)) : '',
		d.error_us == null ? _('clock not synchronised') : _('clock error %d ms').format(Math.ceil(d.error_us / 1000))
	].filter(Boolean).join('; ');
}

function near(n) {
	return n.runs + [ ' ' + _('(older)'), '', ' ' + _('(newer)') ][n.ahead + 1] +
		(n.gives ? ', ' + _('sends to here') : '') + (n.takes ? ', ' + _('fetches from here') : '');
}

function summary(m) {
	const counts = Object.entries(m.words).map(([word, n]) => n + ' ' + word);
	const about = m.names[m.release];
	return [ N_(m.nodes, '%d node heard of', '%d nodes heard of').format(m.nodes),
		(about ? about + ': ' : '') + counts.join(', '),
		m.silent ? _('%d silent since %s').format(m.silent, local(m.silent_since)) : '' ].filter(Boolean).join('; ');
}

function show(d) {
	const wrong = (d.trouble || []).map(t => E('div', { 'class': 'alert-message warning' }, [ t ]));
	if (!d.releases)
		return wrong;
	return [
		...wrong,
		E('p', {}, [ lead(d) ]),
		E('p', {}, [ self(d) ]),
		E('h3', {}, [ _('Releases') ]),
		table([ _('Release'), _('How it stands here'), _('From'), _('To') ],
			d.releases.slice().reverse().map(r => [ version(r), stands(r), local(r.start), local(r.end) ]),
			_('None is held')),
		E('h3', {}, [ _('Neighbours') ]),
		table([ _('Neighbour'), _('Address'), _('Runs'), _('Clock'), _('Heard') ],
			d.neighbours.map(n => [ n.name || '', n.address, near(n), n.synced ? _('agreed') : _('not synchronised'),
				_('%t ago').format(n.heard_s_ago) ]),
			_('No neighbour is heard')),
		E('h3', {}, [ _('The mesh') ]),
		E('p', {}, [ summary(d.mesh) ]),
		table([ _('Node'), _('Board'), _('Runs'), _('How it stands'), _('Complete'), _('Heard') ],
			d.mesh.rows.map(r => [ r.name, r.board, r.runs, r.state, r.percent + ' %', _('%t ago').format(r.age_s) ]),
			_('None has told of itself')),
		E('h3', {}, [ _('What happened last') ]),
		E('ul', {}, d.events.map(e => E('li', {}, [ local(e.at) + ': ' + e.what ])))
	];
}

function ask() {
	return callPage().catch(e => ({ trouble: [ _('The node does not answer: %s').format(e.message) ] }));
}

// As the daemons judge it (swdist check), before it is saved: what they refuse ends them.
function must(o, expression, what) {
	o.validate = (_section, value) => !value || expression.test(value) || what;
}

function field(s, tab, name, title, hint, datatype, usual) {
	const o = s.taboption(tab, form.Value, name, title, hint);
	o.datatype = datatype;
	o.placeholder = usual;
	return o;
}

function number(s, tab, name, title, unit, lowest, highest, usual) {
	const o = field(s, tab, name, title, unit, 'range(%d,%d)'.format(lowest, highest), usual);
	must(o, /^(0|[1-9]\d*)$/, _('a whole number'));
	return o;
}

function choice(s, tab, name, title, words, hint) {
	const o = s.taboption(tab, form.ListValue, name, title, hint);
	words.forEach(([word, text]) => o.value(word, text));
	o.default = words[0][0];
}

function settings() {
	const m = new form.Map('swdist');
	const s = m.section(form.NamedSection, 'node', 'swdist', _('Settings'));
	const DEVICE = [ /^(?!\.{1,2}$)[\w.-]{1,15}$/, _('the name of an interface') ];
	s.tab('usual', _('Usual'));
	s.tab('advanced', _('Advanced'));
	let o = s.taboption('usual', form.DynamicList, 'interface', _('Interfaces'),
		_('where the neighbours are, such as br-mesh'));
	o.rmempty = false;
	must(o, ...DEVICE);
	s.taboption('usual', form.Flag, 'hold', _('Hold'), _('fetch and relay all, but switch to nothing newer'));
	o = s.taboption('usual', form.DynamicList, 'group', _('Groups'), _('whose experiments this node takes part in'));
	must(o, /^[a-z0-9_-]{1,32}$/, _('1 to 32 of a-z, 0-9, _ and -'));
	number(s, 'usual', 'quota_kb', _('Flash for releases'), _('KiB'), 64, 1048576, 1024);
	number(s, 'usual', 'relay_kb', _('of that for neighbours'), _('KiB of what this node has no use for'),
		0, 1048576, 256);
	number(s, 'usual', 'images_kb', _('RAM for images'), _('KiB; takes the package swdist-install'), 0, 131072, 0);
	number(s, 'usual', 'confirm_s', _('Trial'), _('seconds for a new release to confirm itself'), 1, 86400, 300);
	s.taboption('usual', form.Flag, 'set_clock', _('Set the clock'),
		_("set the system's clock by the mesh's; not where ntpd runs"));
	choice(s, 'usual', 'reference', _('Reference clock'), [ [ 'off', _('none') ],
		[ 'auto', _("this system's, while NTP keeps it") ],
		[ 'broadcast', _('an NTP server that broadcasts on a trusted link') ] ]);
	choice(s, 'usual', 'sntp', _('NTP for others'), [ [ 'off', _('none') ], [ 'serve', _('answer clients') ],
		[ 'broadcast', _('also broadcast') ] ], _('takes the package swdist-sntp'));

	o = field(s, 'advanced', 'board', _('Board'), _('this device, as releases name it'), 'maxlength(64)',
		_("the system's own"));
	must(o, /^[^ ]+$/, _('no space'));
	o = field(s, 'advanced', 'rendezvous', _('Rendezvous'),
		_('a fallback interface that scripts of yours bring up and down'), 'maxlength(15)', _('none'));
	must(o, ...DEVICE);
	number(s, 'advanced', 'rendezvous_every_s', _('Rendezvous every'), _('seconds'), 20, 21600, 21600);
	number(s, 'advanced', 'boot_horizon_s', _('Trust at a start'),
		_('seconds by which neighbours may move the clock then'), 0, 315360000, 43200);
	o = number(s, 'advanced', 'beacon_ms', _('Beacons every'),
		_('milliseconds, 200 or more; 0: as the mesh needs'), 0, 60000, 0);
	must(o, /^(0|[2-9]\d\d|[1-9]\d{3,})$/, _('0, or 200 and more'));
	number(s, 'advanced', 'tftp_port', _('TFTP port'), _('UDP, for payloads'), 1024, 65535, 27183);
	choice(s, 'advanced', 'log_level', _('Log'), [ 'info', 'error', 'warn', 'debug' ].map(word => [ word, word ]));
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
