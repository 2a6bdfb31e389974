(()=>{const D=document,B=D.body,$=(s,r=D)=>[...r.querySelectorAll(s)],tip=D.createElement('div'),M='Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ');
tip.id='tip';tip.setAttribute('role','status');B.append(tip);B.classList.add('js');
const g=v=>Math.round(v).toLocaleString('en-GB'),
C=(D.querySelector('[data-cur]')||B).dataset.cur||'',
fm=(v,u)=>v===''||v==null||isNaN(v)?'no data':u=='m'?C+g(v):u=='e'?C+(+v).toFixed(2):u=='%'?(+v).toFixed(2)+' %':g(v),
day=(s,i,st)=>{const a=new Date(s+'T12:00Z'),f=x=>x.getUTCDate()+' '+M[x.getUTCMonth()];a.setUTCDate(a.getUTCDate()+i*st);const b=new Date(+a);b.setUTCDate(b.getUTCDate()+6);return st==1?f(a):f(a)+' – '+f(b)};
const show=(p,i)=>{const[u,vs,bs='',so='']=p.dataset.d.split('|'),v=vs.split(' '),n=v.length,b=bs?bs.split(' '):[],st=+(p.dataset.step||7),s=p.closest('[data-from]').dataset.from,last=i==n-1;
i=Math.max(0,Math.min(n-1,i));p._i=i;let t=day(s,i,st)+(p.dataset.n?' · '+p.dataset.n:'')+'\n';
t+=last&&so?fm(so,u)+' so far, about '+fm(v[i],u)+' expected':fm(v[i],u);
if(b.length==2)t+='\nusual '+fm(b[0],u)+' to '+fm(b[1],u);else if(b.length)t+='\nusual '+fm(b[i],u)+' to '+fm(b[n+i],u);
if(p.dataset.j)for(const[k,a]of JSON.parse(p.dataset.j))t+='\n'+k+' '+fm(a[i],u);
tip.textContent=t;tip.style.display='block';const r=p.getBoundingClientRect(),x=r.left+(i+.5)/n*r.width,w=tip.offsetWidth;
tip.style.left=Math.max(6,Math.min(innerWidth-w-12,x+12+w>innerWidth?x-w-12:x+12))+scrollX+'px';
tip.style.top=Math.max(4,r.height>150?r.top+40:r.top-tip.offsetHeight-6)+scrollY+'px';
let c=p.querySelector('.cur');if(!c){c=D.createElement('i');c.className='cur';p.append(c)}c.style.display='block';c.style.left=(i+.5)/n*100+'%'},
hide=p=>{tip.style.display='none';const c=p.querySelector('.cur');if(c)c.style.display='none'};
$('.px[data-d]').forEach(p=>{const n=p.dataset.d.split('|')[1].split(' ').length;
p.onpointermove=p.onpointerdown=e=>{const r=p.getBoundingClientRect();show(p,Math.floor((e.clientX-r.left)/r.width*n))};p.onpointerleave=()=>hide(p);
if(p.tabIndex>=0){p.onfocus=()=>p.matches(':focus-visible')&&show(p,n-1);p.onblur=()=>hide(p);p.onkeydown=e=>{const k={ArrowLeft:-1,ArrowRight:1}[e.key];if(k){show(p,(p._i??n)+k);e.preventDefault()}if(e.key=='Escape')hide(p)}}});
$('.lab [data-k]').forEach(l=>{const c=$('.'+l.dataset.k,l.closest('.plot'));l.onpointerenter=()=>c.forEach(x=>x.style.fill='var(--acc)');l.onpointerleave=()=>c.forEach(x=>x.style.fill='')});
const T=D.querySelector('.ft');if(T){const rows=()=>$('tbody[data-n]',T),q=D.querySelector('#q'),sum=T.querySelector('.sum'),was=sum?[...sum.rows[0].cells].map(c=>c.innerHTML):[],so=D.querySelector('#so'),
num=(r,k)=>{const v=r.dataset[k];return v===''||v==null?-1e15:+v},
tot=()=>{if(!sum)return;const a=rows(),s=a.filter(r=>r.offsetParent),f=D.querySelector('#fs').checked||q.value||!D.querySelector('#f0').checked;[...sum.rows[0].cells].forEach((c,i)=>c.innerHTML=was[i]);if(!f)return;
sum.querySelector('th').textContent='Shown: '+s.length+' of '+T.dataset.all;for(const[k,u]of[['r','m'],['c','c'],['dl','']]){const e=sum.querySelector('[data-t='+k+']'),x=s.reduce((m,r)=>m+(+r.dataset[k]||0),0);if(e)e.textContent=u=='c'?(x<0?'−':'+')+C+g(Math.abs(x)):fm(x,u)}$('[data-t=o]',sum).forEach(e=>e.textContent='')},
sort=(k,d)=>{rows().sort((a,b)=>d*(k=='n'?a.dataset.n.localeCompare(b.dataset.n):num(a,k)-num(b,k))).forEach(r=>T.append(r));$('th[data-k]',T).forEach(h=>h.dataset.k==k?h.setAttribute('aria-sort',d<0?'descending':'ascending'):h.removeAttribute('aria-sort'));if(so)so.value=k};
$('th[data-k]',T).forEach(h=>{const b=D.createElement('button');b.append(...h.childNodes);h.append(b);b.onclick=()=>{const d=h.getAttribute('aria-sort')=='descending'||(h.dataset.k=='n'&&!h.hasAttribute('aria-sort'))?1:-1;sort(h.dataset.k,d)}});
$('.jsx').forEach(e=>e.hidden=false);if(so)so.onchange=()=>sort(so.value,so.value=='n'?1:-1);
q.oninput=()=>{const s=q.value.trim().toLowerCase();B.classList.toggle('all',!!s);rows().forEach(r=>r.classList.toggle('h',!!s&&!r.dataset.n.toLowerCase().includes(s)));tot()};
$('.bar input:not(#q)').forEach(e=>e.onchange=tot);
rows().forEach(r=>{r.classList.add('js');r.querySelector('.f').onclick=()=>{const d=r.querySelector('details');if(d)d.open=!d.open}})}
const go=()=>{const e=location.hash.length>1&&D.getElementById(location.hash.slice(1));if(e){const d=e.closest('details');if(d){const b=d.closest('tbody');if(b&&b.classList.contains('x'))B.classList.add('all');d.open=true;(b||d).scrollIntoView()}}};
addEventListener('hashchange',go);go();
addEventListener('beforeprint',()=>$('tbody[data-g] details,.foot>details:not(.numbers)').forEach(d=>{if(!d.open){d.open=true;d._p=1}}));addEventListener('afterprint',()=>$('details').forEach(d=>{if(d._p){d.open=false;d._p=0}}))})();
